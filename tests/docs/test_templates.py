"""No template that is shown needs a logical date: a DAG run that an asset, or a person, started may have none."""

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SHOWN = [
    CHECKOUT / "README.md",
    *(CHECKOUT / "docs").rglob("*.md"),
    *(CHECKOUT / "docs" / "examples").rglob("*.py"),
    *(CHECKOUT / "example_dags").glob("*.py"),
    *(CHECKOUT / "airflow_provider_flowruns").rglob("*.py"),
]
#: What Airflow puts into the context of such a DAG run not at all.
MISSING = re.compile(r"\b(data_interval_(start|end)|logical_date|(ds|ts)(_nodash)?(_with_tz)?|(prev|next)_\w+)\b")


def templates(text: str) -> list[str]:
    return re.findall(r"\{\{.+?\}\}", text)


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: path.relative_to(CHECKOUT).as_posix())
def test_a_template_works_in_every_kind_of_dag_run(path) -> None:
    assert [one for one in templates(path.read_text()) if MISSING.search(one)] == []


def test_the_check_sees_what_is_missing() -> None:
    text = "{{ ds }} {{ ts_nodash }} {{ data_interval_end }} {{ dag_run.logical_date }} {{ run_id }} {{ ids }}"
    assert [one for one in templates(text) if MISSING.search(one)] == [
        "{{ ds }}",
        "{{ ts_nodash }}",
        "{{ data_interval_end }}",
        "{{ dag_run.logical_date }}",
    ]


def test_the_readmes_guard_needs_no_template() -> None:
    guards = re.findall(r"completed_after=(\S+),", (CHECKOUT / "README.md").read_text())
    assert guards == ['"auto"']
