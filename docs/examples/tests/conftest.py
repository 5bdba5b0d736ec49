"""An Airflow of its own for these tests: made before anything imports airflow, gone when they are over."""

import atexit
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

home = tempfile.mkdtemp(prefix="airflow-tests-")
atexit.register(shutil.rmtree, home, ignore_errors=True)
os.environ["AIRFLOW_HOME"] = home
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(Path(__file__).parents[1] / "dags")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
subprocess.run(["airflow", "db", "migrate"], check=True, capture_output=True)
