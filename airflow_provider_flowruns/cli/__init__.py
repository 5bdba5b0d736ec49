"""The command line: ``airflow flowruns ...`` and ``python -m airflow_provider_flowruns ...``."""
