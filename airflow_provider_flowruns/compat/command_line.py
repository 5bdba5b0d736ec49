"""What a command line may do that a task may not."""

from __future__ import annotations

import os


def use_metadata_database() -> None:
    """Let connections be read from Airflow's database too, as Airflow's own commands do.

    Since Airflow 3, hooks take every process for a task's, which has no access to the database, unless it says
    otherwise.
    """
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
