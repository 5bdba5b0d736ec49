"""Whatever a task can end with is on the page about errors."""

import inspect
import re
from pathlib import Path

import pytest

from airflow_provider_flowruns import exceptions
from airflow_provider_flowruns.model import errors
from airflow_provider_flowruns.polling.wait_state import Outcome

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "errors.md").read_text()
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))
BASES = {"FlowRunsError", "ApiError"}


@pytest.mark.parametrize("module", [errors, exceptions], ids=["services.errors", "exceptions"])
def test_every_exception_can_be_imported_from_one_place(module) -> None:
    public = {name for name, cls in inspect.getmembers(module, inspect.isclass) if issubclass(cls, Exception)}
    assert public - {"AirflowException", "AirflowFailException"} <= {*exceptions.__all__}
    assert all(hasattr(exceptions, name) for name in exceptions.__all__)


@pytest.mark.parametrize("name", exceptions.__all__)
def test_every_exception_is_explained(name) -> None:
    assert len(SECTIONS[name].split()) > 15


@pytest.mark.parametrize("name", sorted({*exceptions.__all__} - BASES))
def test_every_exception_that_is_raised_comes_with_what_to_do(name) -> None:
    assert "*Do:*" in SECTIONS[name]


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_in_the_table(outcome) -> None:
    (row,) = re.findall(rf"^\| `{outcome}` \|(.*)$", PAGE, flags=re.MULTILINE)
    meaning, to_do = (cell.strip() for cell in row.rstrip("| ").split("|"))
    assert meaning
    assert to_do
