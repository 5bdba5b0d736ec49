"""Airflow provider for flow runs of Prefect."""
