"""Random answers through all readers of all services, and what must be true of whatever comes of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from msgspec.structs import replace

from airflow_provider_flowruns.client.pagination import Paginator
from airflow_provider_flowruns.client.responses import read_result
from airflow_provider_flowruns.client.settings import Settings, parse_settings
from airflow_provider_flowruns.model.calls import Call, Page, Pages, Response
from airflow_provider_flowruns.model.clip import measure_json
from airflow_provider_flowruns.model.errors import ApiError, FlowRunsError
from airflow_provider_flowruns.model.runs import MAX_DETAILS_BYTES, MAX_ERROR_CHARS, Disposition, Flow, FlowRun, Kind
from airflow_provider_flowruns.model.targets import (
    BatchResult,
    FlowStatusTarget,
    NewestRunsTarget,
    RunTarget,
    StartedRunTarget,
    StartMarker,
    Target,
    WorkflowStatusTarget,
)
from airflow_provider_flowruns.polling.messages import describe
from airflow_provider_flowruns.services.base import cancel_run
from tests.fuzz.answers import TOKEN, TOKEN_FORMS, answer, texts_in
from tests.fuzz.decoding import check_decoding
from tests.fuzz.documented import (
    ATTEMPT_NUMBER,
    DOCUMENT_FLOW_ID,
    DOCUMENT_ID,
    FLOW_ID,
    FLOW_NUMBER,
    PROJECT_ID,
    RUN_ID,
    next_id,
)
from tests.fuzz.oracle import is_behind_a_newer_run, parse, successes

MASK = "***"
#: Calls that one question may take; some servers have no last page.
MAX_CALLS = 12
#: Characters of any text that is shown, but for an error's.
MAX_SHOWN_CHARS = 500
MAX_ERROR_TEXT_CHARS = 2_000
MAX_INTEGER = 2**63 - 1

MARK = StartMarker(
    "dag/run/task/-1/0123456789ab",
    "correlation",
    not_before_at=1_682_366_228.0,
    not_after_at=1_682_366_229.0,
    after_run_id=str(ATTEMPT_NUMBER - 1),
)
#: Where the list of runs stands in a body, and the fields with their time of creation and their flow.
LISTS = {
    "portable": ("data", "createdAt", "flow"),
    "activepieces": ("data", "created", "flowId"),
    "tableflow": ("flow_runs", "created_at", "flow_id"),
}


class Wrong(AssertionError):
    """Something came of an answer that must not come of any."""


def _settings(service: str) -> Settings:
    extra = {"project_id": PROJECT_ID} if service == "activepieces" else {}
    return parse_settings(service, "fuzz", host=None, schema=None, port=None, password=TOKEN, extra=extra)


SETTINGS = {service: _settings(service) for service in LISTS}
APIS: dict[str, Any] = {service: settings.service for service, settings in SETTINGS.items()}
TARGETS: dict[str, list[Target]] = {
    "portable": [
        FlowStatusTarget("portable", str(FLOW_NUMBER)),
        WorkflowStatusTarget("portable", str(FLOW_NUMBER)),
        RunTarget("portable", str(ATTEMPT_NUMBER), str(FLOW_NUMBER)),
        NewestRunsTarget("portable", str(FLOW_NUMBER)),
        NewestRunsTarget("portable", str(FLOW_NUMBER), 3),
        StartedRunTarget("portable", str(FLOW_NUMBER), MARK),
    ],
    "activepieces": [
        RunTarget("activepieces", RUN_ID, FLOW_ID),
        NewestRunsTarget("activepieces", FLOW_ID),
        NewestRunsTarget("activepieces", FLOW_ID, 3),
        StartedRunTarget("activepieces", FLOW_ID, MARK),
    ],
    "tableflow": [
        RunTarget("tableflow", DOCUMENT_ID, DOCUMENT_FLOW_ID),
        NewestRunsTarget("tableflow", DOCUMENT_FLOW_ID),
        NewestRunsTarget("tableflow", DOCUMENT_FLOW_ID, 3),
        StartedRunTarget("tableflow", DOCUMENT_FLOW_ID, MARK),
    ],
}
PORTABLE, ACTIVEPIECES, TABLEFLOW = APIS["portable"], APIS["activepieces"], APIS["tableflow"]
CALLS: dict[str, list[Callable[[], Call[Any] | Pages[Any]]]] = {
    "portable": [
        lambda: PORTABLE.get_flow_status(FLOW_NUMBER),
        lambda: PORTABLE.get_workflow_status(FLOW_NUMBER),
        lambda: PORTABLE.get_run_attempts(FLOW_NUMBER, limit=3),
        lambda: PORTABLE.get_run_attempts(FLOW_NUMBER, limit=1, sort="ASC"),
        PORTABLE.list_flows,
        lambda: PORTABLE.run_flow(FLOW_NUMBER),
        lambda: PORTABLE.cancel_flow(FLOW_NUMBER),
    ],
    "activepieces": [
        lambda: ACTIVEPIECES.get_flow_run(RUN_ID),
        lambda: ACTIVEPIECES.get_flow_runs([RUN_ID, next_id(RUN_ID)]),
        lambda: ACTIVEPIECES.list_flow_runs(limit=3),
        lambda: ACTIVEPIECES.list_flow_runs(flow_id=FLOW_ID, status="FAILED", limit=1),
        lambda: ACTIVEPIECES.list_flows(limit=1),
        lambda: ACTIVEPIECES.get_flow(FLOW_ID),
        lambda: ACTIVEPIECES.run_flow(FLOW_ID),
        lambda: ACTIVEPIECES.retry_flow_run(RUN_ID),
        lambda: ACTIVEPIECES.cancel_flow_runs([RUN_ID]),
    ],
    "tableflow": [
        lambda: TABLEFLOW.get_flow_run(DOCUMENT_ID),
        lambda: TABLEFLOW.list_flow_runs(limit=3),
        lambda: TABLEFLOW.list_flow_runs(flow_id=DOCUMENT_FLOW_ID, status="completed", limit=1),
        lambda: TABLEFLOW.list_runs_of_flow(DOCUMENT_FLOW_ID),
        TABLEFLOW.list_flows,
        lambda: TABLEFLOW.run_flow(DOCUMENT_FLOW_ID, ()),
    ],
}


@dataclass
class Exchange:
    """A call and its answer."""

    call: Call[Any]
    response: Response


class Questions:
    """Asks all there is to ask of the services, and answers at random.

    :param seed: two with the same seed ask and answer the same.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        #: What came of the answers: names of errors, and outcomes of runs.
        self.seen: Counter[str] = Counter()
        self.answers = 0
        self._asked = 0

    def ask(self, answers: int) -> None:
        """Ask until there were so many answers.

        :raises Wrong: for an answer of which something came that must not; the message says how to see it again.
        """
        while self.answers < answers:
            self.ask_one(self._asked)
            self._asked += 1

    def ask_one(self, number: int) -> None:
        """Ask the question of a number, whatever was asked before.

        :param number: from 0.
        :raises Wrong: something came of its answers that must not.
        """
        question = _Question(Random(f"{self.seed}/{number}"))
        try:
            question.ask()
        except Exception as error:  # not one of ours, or an answer that was not held
            asked = [(one.call.request.path, one.response) for one in question.exchanges]
            raise Wrong(f"seed {self.seed}, question {number}: {error!r} after {asked!r}"[:20_000]) from error
        self.answers += len(question.exchanges)
        self.seen.update(question.seen)


class _Question:
    def __init__(self, random: Random) -> None:
        self._random = random
        self._service = random.choice([*LISTS])
        self.exchanges: list[Exchange] = []
        self.seen: list[str] = []

    def ask(self) -> None:
        kind = self._random.random()
        try:
            if kind < 0.5:
                self._call(self._random.choice(CALLS[self._service])())
            elif kind < 0.75:
                self._look(self._random.choice(TARGETS[self._service]))
            elif kind < 0.9:
                self._look_at_all()
            else:
                self._tell()
        except FlowRunsError as error:
            self._check_error(error)

    # -- the four kinds of questions

    def _call(self, asked: Call[Any] | Pages[Any]) -> None:
        if isinstance(asked, Call):
            self._check_result(self._send(asked))
            return
        paginator = Paginator(asked)
        for _ in range(3):
            if paginator.call is None:
                return
            page = self._send(paginator.call)
            self._check_result(page)
            paginator.read_page(page)

    def _look(self, target: Target) -> None:
        runs = self._drive(APIS[self._service].poll(target))
        self._check_result(runs)
        if isinstance(target, NewestRunsTarget) and runs:
            self._check_newest(runs[0])

    def _look_at_all(self) -> None:
        api = APIS[self._service]
        key = self._random.choice([key for key in map(api.batch_key, TARGETS[self._service]) if key is not None])
        targets = [one for one in TARGETS[self._service] if api.batch_key(one) == key]
        targets += [
            RunTarget(one.service, _earlier(one.run_id), one.flow_id) for one in targets if isinstance(one, RunTarget)
        ]
        batch_result: BatchResult = self._drive(api.poll_batch(targets, len(targets), 3))
        self._check_result(batch_result)
        for target, runs in batch_result.found.items():
            if isinstance(target, RunTarget) and [one.run_id for one in runs] != [target.run_id]:
                raise Wrong(f"{target} was shown as {runs}")

    def _tell(self) -> None:
        api = APIS[self._service]
        runs = [one for one in TARGETS[self._service] if isinstance(one, RunTarget | StartedRunTarget)]
        target = self._random.choice(runs)
        said = self._drive(api.check() if self._random.random() < 0.5 else cancel_run(api, target))
        _check_texts([said])
        self._keep("told")

    # -- sending

    def _drive(self, steps: Generator[Call[Any], Any, Any]) -> Any:
        """Take steps as both clients do; those that go on and on are left."""
        try:
            call = next(steps)
            for _ in range(MAX_CALLS):
                try:
                    result = self._send(call)
                except ApiError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(result)
        except StopIteration as end:
            return end.value
        steps.close()
        return ()

    def _send(self, call: Call[Any]) -> Any:
        response = answer(self._random, call.request)
        self.exchanges.append(Exchange(call, response))
        if call.read_bytes:
            self._compare_readers(call, response)
        settings = SETTINGS[call.service]
        check_decoding(call, settings.mask.response(response).body)
        return read_result(settings, call, response)

    def _compare_readers(self, call: Call[Any], response: Response) -> None:
        """Check that reading only what is needed comes to the same as reading all; twice, since it remembers runs."""
        whole = _read_or_fail(replace(call, read_bytes=None), response)
        for _ in range(2):
            needed = _read_or_fail(call, response)
            if needed != whole:
                raise Wrong(f"{call.request.path} was read as {needed}, and as {whole}")

    # -- what must be true

    def _keep(self, what: str) -> None:
        self.seen.append(what)

    def _check_error(self, error: FlowRunsError) -> None:
        self._keep(type(error).__name__)
        if not isinstance(error, ApiError):
            raise Wrong(f"an answer was blamed on the caller: {error!r}") from error
        _check_texts([str(error), json.dumps(error.to_record(), allow_nan=False, ensure_ascii=False)])
        if len(str(error)) > MAX_ERROR_TEXT_CHARS:
            raise Wrong(f"an error of {len(str(error))} characters")
        if error.__context__ or error.__cause__:
            raise Wrong(f"{error!r} holds {error.__context__!r}")

    def _check_result(self, result: Any) -> None:
        for one in _items_of(result):
            if isinstance(one, FlowRun):
                self._check_run(one)
            elif isinstance(one, Flow):
                self._keep("flow")
                _check_summary(one.summary())
                _check_texts(texts_in(one.raw))

    def _check_run(self, run: FlowRun) -> None:
        self._keep(f"run {run.disposition}")
        _check_summary(run.summary())
        _check_texts([describe(run), *texts_in(run.raw)])
        if run.disposition is Disposition.SUCCEEDED:
            self._check_success(run)

    def _check_success(self, run: FlowRun) -> None:
        kind = "portable status" if run.kind in {Kind.FLOW, Kind.WORKFLOW} else run.service
        known = {one for exchange in self.exchanges for one in successes(kind, exchange.response.body)}
        shown = run.run_id or run.flow_id or ""
        if shown not in known and not (known and MASK in shown):
            raise Wrong(f"{run} is no success")

    def _check_newest(self, run: FlowRun) -> None:
        name, created, flow = LISTS[self._service]
        body = parse(self.exchanges[-1].response.body)
        rows = body.get(name, body.get("data")) if isinstance(body, dict) else body
        rows = [row for row in rows if not _is_of_another_flow(row, flow)] if isinstance(rows, list) else []
        if rows and is_behind_a_newer_run(run.run_id or "", created, rows):
            raise Wrong(f"{run} is not the newest run")


def _read_or_fail(call: Call[Any], response: Response) -> Any:
    """Return all that is shown of a result, or the error's text."""
    try:
        result = read_result(SETTINGS[call.service], call, response)
    except ApiError as error:
        return str(error)
    return [(run, run.summary()) for run in _items_of(result)]


def _is_of_another_flow(row: Any, name: str) -> bool:
    """Tell whether a row should have been left out by the service's own filter, which it may ignore."""
    flow_id = row.get(name) if isinstance(row, dict) else None
    is_an_id = isinstance(flow_id, str | int) and not isinstance(flow_id, bool) and 0 < len(str(flow_id).strip()) <= 128
    return is_an_id and str(flow_id) not in {str(FLOW_NUMBER), FLOW_ID, DOCUMENT_FLOW_ID}


def _earlier(run_id: str | None) -> str:
    return str(next_id(int(run_id) if run_id and run_id.isdigit() else run_id))


def _items_of(result: Any) -> Iterator[Any]:
    if isinstance(result, Page):
        result = result.items
    if isinstance(result, BatchResult):
        result = (*result.runs, *(run for runs in result.found.values() for run in runs))
    yield from result if isinstance(result, tuple) else (result,)


def _check_summary(summary: Any) -> None:
    text = json.dumps(summary, allow_nan=False)
    if json.loads(text) != summary:
        raise Wrong(f"{summary} is no plain JSON")
    _check_texts(texts_in(summary))
    # Details carry what users passed and what steps returned, of which only the whole size is bounded.
    if measure_json(summary.get("details")) > MAX_DETAILS_BYTES:
        raise Wrong(f"details have more than {MAX_DETAILS_BYTES} bytes")
    for name, value in summary.items():
        if name == "details":
            continue
        most = MAX_ERROR_CHARS if name in {"errors", "resources"} else MAX_SHOWN_CHARS
        if any(len(one) > most for one in texts_in(value)):
            raise Wrong(f"{name} has a text of more than {most} characters")
    if any(abs(number) > MAX_INTEGER for number in _numbers_in(summary)):
        raise Wrong(f"{summary} has a number that Airflow's channels do not carry")


def _numbers_in(value: Any) -> Iterator[int]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _numbers_in(item)
    elif isinstance(value, int):
        yield value


def _check_texts(texts: Iterable[str]) -> None:
    joined = "\n".join(texts)
    if "\0" in joined:
        raise Wrong(f"NUL in {joined!r}")
    joined.encode()  # raises UnicodeEncodeError, which is wrong too
    if any(form in joined for form in TOKEN_FORMS):
        raise Wrong(f"the token in {joined!r}")
