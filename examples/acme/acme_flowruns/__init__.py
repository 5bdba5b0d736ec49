"""Flow runs of Acme, an invented service."""
