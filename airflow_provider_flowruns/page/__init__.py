"""The page *Flow runs* in Airflow's UI, see ``docs/page.md``."""
