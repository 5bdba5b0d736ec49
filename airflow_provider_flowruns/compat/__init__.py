"""What Airflow's versions lack or do differently."""
