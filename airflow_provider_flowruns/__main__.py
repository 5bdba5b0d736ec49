"""The command line without Airflow's: ``python -m airflow_provider_flowruns``."""

import sys

from airflow_provider_flowruns.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
