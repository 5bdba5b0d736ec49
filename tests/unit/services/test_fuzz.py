"""Random answers through all readers; ``make fuzz`` takes a million of them. And the tests of what tells wrong ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from airflow_provider_flowruns.client import responses as policy
from airflow_provider_flowruns.client.masking import SecretMask
from airflow_provider_flowruns.model import clean
from airflow_provider_flowruns.model.calls import Request
from airflow_provider_flowruns.model.clean import clean_text
from airflow_provider_flowruns.model.runs import Disposition, Lifecycle
from airflow_provider_flowruns.services import activepieces, portable_records, tableflow
from tests.fuzz.answers import TOKEN, answer
from tests.fuzz.documented import ATTEMPT, DOCUMENT, FITTING, FLOW_NUMBER, RUN, RUN_ID, SCHEMA_ATTEMPT, STATUS
from tests.fuzz.oracle import is_behind_a_newer_run, successes
from tests.fuzz.readers import Questions, Wrong

ANSWERS = 5_000
#: Far fewer tell what is wrong.
MAX_ANSWERS = 100_000


def test_every_response_gives_an_allowed_result() -> None:
    questions = Questions(seed=1)
    questions.ask(ANSWERS)
    # That it came to all of them, and not just to refusals.
    assert {f"run {disposition}" for disposition in Disposition} < {*questions.seen}
    assert questions.seen["run SUCCEEDED"] > ANSWERS / 10
    assert questions.seen["UnexpectedResponseError"] > ANSWERS / 10
    assert {"flow", "told", "NotFoundError", "RateLimitError", "ServerError", "AuthenticationError"} < {*questions.seen}


def test_one_seed_means_the_same_questions_and_responses() -> None:
    first, second = Questions(seed=5), Questions(seed=5)
    for questions in (first, second):
        questions.ask(200)
    assert (first.seen, first.answers) == (second.seen, second.answers)
    request = Request("GET", "/v2/flows/5/status")
    assert answer(Random("5"), request) == answer(Random("5"), request)


def test_every_request_has_documented_responses() -> None:
    assert all(bodies for _, bodies in FITTING)


# -- what is wrong is noticed


def hopeful_state(lifecycle: str, disposition: str, has_ended: bool) -> Any:
    return (Lifecycle.NOT_RUNNING, Disposition("SUCCEEDED" if "SUCC" in disposition else "NONE"))


def active_state(lifecycle: Any, disposition: Any, status: Any, trigger: Any, has_ended: bool) -> Any:
    return portable_records._parse_state(lifecycle, disposition, status, trigger, has_ended=False)


def patch_hopeful_state(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(portable_records, "_map_state", hopeful_state)
    # The function behind the cache, which must not remember this.
    patch.setattr(portable_records, "_parse_documented_state", portable_records._parse_state)


BREAKS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "texts that cannot be encoded": lambda patch: patch.setattr(clean, "_clean_leaf", lambda leaf: leaf),
    "a token": lambda patch: patch.setattr(SecretMask, "text", lambda mask, text: clean_text(text)),
    "a status that is almost a success": lambda patch: patch.setitem(
        tableflow._STATES, "OK", (Lifecycle.NOT_RUNNING, Disposition.SUCCEEDED)
    ),
    "a run that is going": patch_hopeful_state,
    "another run than that of its JSON value": lambda patch: patch.setattr(
        portable_records, "_parse_documented_state", active_state
    ),
    "an error that is none of ours": lambda patch: patch.setattr(policy, "_describe_reading_error", None),
    "an older run": lambda patch: patch.setattr(activepieces, "sort_newest_first", lambda runs: runs),
    "a text without end": lambda patch: patch.setattr(activepieces, "parse_status", lambda value: str(value or "")),
}
#: Noticed only after tens of thousands of responses.
RARE = "a text without end"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.nightly) if name == RARE else name for name in BREAKS]
)
def test_a_forbidden_result_of_a_response_is_noticed(monkeypatch, name) -> None:
    BREAKS[name](monkeypatch)
    with pytest.raises(Wrong, match=r"seed 2, question \d+"):
        Questions(seed=2).ask(MAX_ANSWERS)


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        ("portable status", STATUS),
        ("portable status", {**STATUS, "lifecycle": None}),
        ("portable", ATTEMPT),
        ("portable", SCHEMA_ATTEMPT),
        ("activepieces", RUN),
        ("activepieces", {**RUN, "status": "stopped"}),
        ("tableflow", DOCUMENT),
    ],
)
def test_a_documented_success_is_known(kind, record) -> None:
    assert successes(kind, json.dumps([{"data": record}]).encode()) == {str(record["id"])}


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        ("portable status", {**STATUS, "lifecycle": 1}),
        ("portable status", {**STATUS, "lifecycle": ["RUNNING"]}),
        ("portable status", {**STATUS, "lifecycle": None, "completedAt": None}),
        ("portable status", {**STATUS, "disposition": "FAILED"}),
        ("portable", {**ATTEMPT, "lifecycle": "RUNNING"}),
        ("portable", {**ATTEMPT, "disposition": [], "status": "SUCCEEDED"}),
        ("activepieces", {**RUN, "status": "RUNNING"}),
        ("activepieces", {**RUN, "status": "SUCCEEDED\ud83d"}),
        ("tableflow", {**DOCUMENT, "status": "complete"}),
        ("tableflow", {**DOCUMENT, "status": ["completed"]}),
    ],
)
def test_what_no_document_calls_a_success_is_none(kind, record) -> None:
    assert successes(kind, json.dumps(record).encode()) == set()


def test_what_is_no_json_has_no_successes() -> None:
    assert successes("tableflow", b"{") == set()


def test_a_run_behind_a_newer_one_is_known() -> None:
    newer = {**RUN, "id": "newer", "created": "2026-11-23T05:51:13.616Z"}
    assert is_behind_a_newer_run(RUN_ID, "created", [RUN, newer])
    assert not is_behind_a_newer_run("newer", "created", [RUN, newer])
    assert is_behind_a_newer_run(RUN_ID, "created", [{**newer, "id": {}}, RUN])
    assert not is_behind_a_newer_run(str(FLOW_NUMBER), "created", [{**RUN, "id": FLOW_NUMBER, "created": None}, newer])


def test_the_token_is_one_that_every_form_of_it_tells_apart() -> None:
    assert {"+", "/"} < {*TOKEN}
