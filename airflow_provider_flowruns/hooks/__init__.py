"""Connections to the services, one hook a vendor."""
