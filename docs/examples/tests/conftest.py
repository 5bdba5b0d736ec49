"""A separate Airflow for the tests, created before anything imports airflow."""

import atexit
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

dags = Path(__file__).parents[1] / "dags"
home = tempfile.mkdtemp(prefix="airflow-tests-")
atexit.register(shutil.rmtree, home, ignore_errors=True)
os.environ["AIRFLOW_HOME"] = home
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(dags)
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
subprocess.run(["airflow", "db", "migrate"], check=True, capture_output=True)
