"""The DAG in the README, once for each way to start a DAG run."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"
[DAG] = (block for block in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL) if "with DAG(" in block)
[README_FLOW_ID] = {int(flow_id) for flow_id in re.findall(r"flow_id=(\d+)", DAG)}

#: Arguments that are added to the README's ``DAG("orders")``, by DAG id.
SCHEDULES = {
    "readme_manual": "",
    "readme_by_asset": ', schedule=[Asset("readme_orders")]',
    # Paused, because it would start before all components are running.
    "readme_by_schedule": ', schedule="@daily", start_date=datetime(2026, 1, 1), is_paused_upon_creation=True',
}


def build_readme_dag_files() -> dict[str, str]:
    """Return DAG files by name. They connect to the sandbox that uses the real clock."""
    header = "from datetime import datetime\n\nfrom airflow.sdk import Asset\n"
    text = replace(DAG, "task_id=", 'portable_conn_id="portable_live", task_id=')
    return {
        f"{dag_id}.py": header + replace(text, 'DAG("orders")', f'DAG("{dag_id}"{schedule})')
        for dag_id, schedule in SCHEDULES.items()
    }


def replace(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)
