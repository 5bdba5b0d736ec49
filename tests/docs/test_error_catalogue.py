"""Whatever a task can end with is on the page about errors."""

import inspect
import json
import pickle  # ruff: ignore[suspicious-pickle-import]
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_flowruns import exceptions
from airflow_provider_flowruns.model import errors
from airflow_provider_flowruns.polling.wait_state import Outcome

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "errors.md").read_text()
SECTIONS = dict(re.findall(r"^### (?:<a id=\"\w+\"></a>)?(\w+)\n(.*?)(?=^##|\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))
ANCHORS = dict(re.findall(r"^### <a id=\"(\w+)\"></a>(\w+)$", PAGE, flags=re.MULTILINE))
BASES = {"CodedError", "FlowRunsError", "ApiError"}
#: First digit of a code, by the heading under which the class is explained.
GROUPS = {"Outcomes of a run": "1", "API errors": "2", "Local errors": "39", "Results": "4"}


def iterate_coded_classes() -> Iterator[type[errors.CodedError]]:
    for name in exceptions.__all__:
        cls = getattr(exceptions, name)
        if cls is not errors.CodedError:
            yield cls


CLASSES = list(iterate_coded_classes())


def make_error(cls: type[errors.CodedError]) -> errors.CodedError:
    is_api_error = issubclass(cls, errors.ApiError)
    args: tuple[Any, ...] = ("Portable", "GET", "/v2/flows", 418, "no", "a hint", 1.0) if is_api_error else ("no",)
    return cls(*args)


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


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_exception_has_a_code_of_its_own(cls) -> None:
    assert issubclass(cls, errors.CodedError), (
        f"{cls.__name__} has no code: let it inherit from CodedError (before AirflowException), give it the next free "
        f"code of its group, and explain it in docs/errors.md"
    )
    assert "code" in vars(cls), f"{cls.__name__} has only the code of its base, {cls.code!r}: give it one of its own"
    assert re.fullmatch(r"FR[1-9]\d\d", cls.code), f"{cls.__name__}.code is {cls.code!r}, not FR and three digits"
    assert [other.__name__ for other in CLASSES if getattr(other, "code", None) == cls.code] == [cls.__name__]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_code_is_documented_where_its_number_says(cls) -> None:
    anchor = cls.code.lower()
    assert ANCHORS.get(anchor) == cls.__name__, (
        f'docs/errors.md needs the heading: ### <a id="{anchor}"></a>{cls.__name__}'
    )
    assert SECTIONS[cls.__name__].strip().startswith(f"**{cls.code}** · ")
    heading = re.findall(r"^## (.*)$", PAGE[: PAGE.index(f'<a id="{anchor}">')], flags=re.MULTILINE)[-1]
    assert cls.code[2] in GROUPS[heading]


def test_every_documented_code_exists() -> None:
    assert set(re.findall(r"\bFR\d{3}\b", PAGE)) == {cls.code for cls in CLASSES}
    assert {*ANCHORS} == {cls.code.lower() for cls in CLASSES}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_a_code_is_in_the_text_once_however_an_error_travels(cls) -> None:
    error = make_error(cls)
    text = str(error)
    assert text.startswith(f"{cls.code}: ")
    assert str(pickle.loads(pickle.dumps(error))) == text  # ruff: ignore[suspicious-pickle-usage]
    if isinstance(error, errors.FlowRunsError):
        assert str(errors.from_record(json.loads(json.dumps(error.to_record())))).count(": no") == 1
    if not isinstance(error, errors.ApiError):
        assert str(cls(text)) == text


def test_a_saved_error_has_its_class_and_code_again() -> None:
    for cls in errors._BY_NAME.values():
        error = make_error(cls)
        assert isinstance(error, errors.FlowRunsError)
        assert str(errors.from_record(error.to_record())) == str(error)
