"""Sensors that wait for runs."""
