"""The recipes of the cookbook can be parsed by every supported Airflow."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

DOCS = Path(__file__).resolve().parents[2] / "docs"
RECIPES = sorted((DOCS / "examples" / "cookbook").glob("*.py"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_parsed_and_says_if_it_requires_airflow_3(path: Path) -> None:
    page = DOCS / "cookbook" / f"{path.stem.replace('_', '-')}.md"
    requires_airflow_3 = "Requires Airflow 3" in page.read_text()
    source = path.read_text("utf-8")
    assert requires_airflow_3 == any(name in source for name in ("from airflow.sdk import", "dag_run.run_after"))
    if requires_airflow_3 and not AIRFLOW_V_3_0_PLUS:
        pytest.skip("this recipe requires Airflow 3")
    try:
        dagbag = import_module("airflow.dag_processing.dagbag")
    except ImportError:  # Airflow 3.1 and older
        dagbag = import_module("airflow.models.dagbag")
    parsed = dagbag.DagBag(dag_folder=path)
    assert parsed.import_errors == {}
    assert path.stem in parsed.dags
