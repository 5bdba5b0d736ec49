"""Triggers: deferred waits, and asset watchers."""
