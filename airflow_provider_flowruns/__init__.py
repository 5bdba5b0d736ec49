"""Airflow provider for flow runs on Portable, Activepieces and TableFlow."""

__version__ = "0.1.0"
