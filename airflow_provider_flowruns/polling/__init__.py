"""What to poll when, and what the responses mean. Pure: no I/O, no clock, no Airflow."""
