"""Where Portable's documentation contradicts itself (P1 to P14), both forms read the same."""

import json
from datetime import UTC, datetime

import pytest

from airflow_provider_flowruns.model.errors import InvalidArgumentError
from airflow_provider_flowruns.model.runs import Disposition, FlowRun, Kind, Lifecycle
from airflow_provider_flowruns.model.targets import FlowStatusTarget, NewestRunsTarget, RunTarget, WorkflowStatusTarget
from airflow_provider_flowruns.services.portable import OldestFirst, PortableApi

PENDING, RUNNING, NOT_RUNNING = Lifecycle.PENDING, Lifecycle.RUNNING, Lifecycle.NOT_RUNNING
NONE, SUCCEEDED, FAILED = Disposition.NONE, Disposition.SUCCEEDED, Disposition.FAILED
ENDED = datetime(2023, 6, 12, 20, 3, tzinfo=UTC)
MISSING = object()

STATUS = {
    "id": 568971,
    "lifecycle": "NOT_RUNNING",
    "disposition": "SUCCEEDED",
    "resources": None,
    "errors": None,
    "completedAt": "2023-06-12T20:03:00Z",
}
ATTEMPT = {
    "id": 637628,
    "flow": 568971,
    "trigger": "SCHEDULED",
    "lifecycle": "NOT_RUNNING",
    "disposition": "SUCCEEDED",
    "completedAt": "2023-06-12T20:08:34Z",
    "createdAt": "2023-06-12T20:03:00Z",
}
COUNTS = {"extracted": 1864, "analyzed": 1860, "loaded": 1850}


def changed(record: dict, **fields: object) -> dict:
    return {name: value for name, value in {**record, **fields}.items() if value is not MISSING}


def status(**fields: object) -> FlowRun:
    return PortableApi().get_flow_status(568971).read(changed(STATUS, **fields))


def attempt(**fields: object) -> FlowRun:
    page = PortableApi().get_run_attempts(568971).first.read({"data": [changed(ATTEMPT, **fields)]})
    return page.items[0]


def state(run: FlowRun) -> tuple[Lifecycle, Disposition]:
    return run.lifecycle, run.disposition


@pytest.mark.parametrize("read", [status, attempt])
@pytest.mark.parametrize(
    ("lifecycle", "disposition", "meaning"),
    [
        ("NOT_RUNNING", "SUCCEEDED", (NOT_RUNNING, SUCCEEDED)),
        ("not_running", "succeeded", (NOT_RUNNING, SUCCEEDED)),
        (" Not_Running ", "Succeeded\n", (NOT_RUNNING, SUCCEEDED)),
        ("NOT_RUNNING", "FAILED", (NOT_RUNNING, FAILED)),
        ("not_running", "failed", (NOT_RUNNING, FAILED)),
        ("RUNNING", "NONE", (RUNNING, NONE)),
        ("running", "none", (RUNNING, NONE)),
        ("PENDING", "NONE", (PENDING, NONE)),
        ("pending", "none", (PENDING, NONE)),
    ],
)
def test_p1_enums_in_upper_and_lower_case(read, lifecycle, disposition, meaning) -> None:
    """Rule: upper-case after trimming."""
    assert state(read(lifecycle=lifecycle, disposition=disposition, completedAt=None)) == meaning


@pytest.mark.parametrize("trigger", ["SCHEDULED", "scheduled", " Scheduled "])
def test_p1_trigger_in_upper_and_lower_case(trigger) -> None:
    """Rule: upper-case after trimming."""
    assert attempt(trigger=trigger).trigger == "SCHEDULED"


@pytest.mark.parametrize(
    "outcome",
    [
        {"disposition": "SUCCEEDED"},
        {"disposition": MISSING, "status": "SUCCEEDED"},
        {"disposition": None, "status": "SUCCEEDED"},
        {"disposition": "SUCCEEDED", "status": "SUCCEEDED"},
    ],
)
@pytest.mark.parametrize(
    "counts",
    [
        {"resources": [{"name": "events", **COUNTS}]},
        {"details": {"events": COUNTS}},
        {"resources": {"events": COUNTS}},
        {"details": [{"name": "events", **COUNTS}]},
        {"resources": [], "details": {"events": COUNTS}},
    ],
)
def test_p2_attempt_in_the_words_of_the_schema_and_of_the_example(outcome, counts) -> None:
    """Rule: read ``disposition`` else ``status``, ``resources`` else ``details``; a map or a list."""
    assert attempt(**outcome, **counts) == attempt(resources=[{"name": "events", **COUNTS}])


@pytest.mark.parametrize("outcome", [{"disposition": "NONE"}, {"disposition": MISSING, "status": "NONE"}])
def test_p3_attempt_in_progress_with_and_without_lifecycle(outcome) -> None:
    """Rule: without lifecycle, ``NONE`` and no ``completedAt`` is in progress."""
    with_lifecycle = attempt(lifecycle="RUNNING", completedAt=None, **outcome)
    without = attempt(lifecycle=MISSING, completedAt=None, **outcome)
    assert state(with_lifecycle) == state(without) == (RUNNING, NONE)


@pytest.mark.parametrize("word", ["SUCCEEDED", "FAILED"])
def test_p3_ended_attempt_with_and_without_lifecycle(word) -> None:
    """Rule: without lifecycle, an outcome is the end."""
    with_lifecycle, without = attempt(disposition=word), attempt(lifecycle=MISSING, disposition=word)
    assert state(with_lifecycle) == state(without) == (NOT_RUNNING, Disposition(word))


def test_p3_attempt_with_nothing_but_the_required_fields_is_in_progress() -> None:
    """Rule: a missing outcome is no outcome."""
    bare = attempt(lifecycle=MISSING, disposition=MISSING, completedAt=MISSING)
    assert state(bare) == (RUNNING, NONE)


@pytest.mark.parametrize(
    ("fields", "meaning"),
    [
        ({"disposition": "SUCCEEDED"}, (NOT_RUNNING, SUCCEEDED)),
        ({"disposition": "FAILED"}, (NOT_RUNNING, FAILED)),
        ({"disposition": "FAILED", "completedAt": None}, (NOT_RUNNING, FAILED)),
        ({"disposition": "SUCCEEDED", "completedAt": None}, (Lifecycle.UNKNOWN, NONE)),
        ({"disposition": "NONE", "completedAt": None}, (Lifecycle.UNKNOWN, NONE)),
        ({"disposition": MISSING, "completedAt": MISSING}, (Lifecycle.UNKNOWN, NONE)),
        ({"disposition": "NEW"}, (Lifecycle.UNKNOWN, NONE)),
    ],
)
def test_p3_status_without_lifecycle_is_legal_and_no_success_unless_it_says_that_it_has_ended(fields, meaning) -> None:
    """Rule: the schema of a flow's status requires only the id; what is not said is not success."""
    assert state(status(lifecycle=MISSING, **fields)) == meaning


@pytest.mark.parametrize("flow", [568971, "568971", None, MISSING])
def test_p4_attempt_with_and_without_its_flow(flow) -> None:
    """Rule: ``flow`` is optional; the flow that was asked for stands in."""
    assert attempt(flow=flow) == attempt()
    assert attempt(flow=flow).flow_id == "568971"


@pytest.mark.parametrize("dash", "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212")
def test_p5_dates_with_ascii_and_unicode_hyphens(dash) -> None:
    """Rule: U+2010 to U+2015 and U+2212 are read as ``-``."""
    moment = f"2023{dash}06{dash}12T20:03:00Z"
    assert status(completedAt=moment).completed_at == ENDED
    assert attempt(createdAt=moment).created_at == ENDED


@pytest.mark.parametrize("empty", [None, [], MISSING, ""])
@pytest.mark.parametrize("read", [status, attempt])
def test_p6_no_errors_and_no_resources_as_null_list_or_nothing(read, empty) -> None:
    """Rule: all of them mean none, and none of them fails a run."""
    run = read(errors=empty, resources=empty)
    assert (run.errors, run.resources) == ((), ())
    assert state(run) == (NOT_RUNNING, SUCCEEDED)


@pytest.mark.parametrize(
    ("errors", "expected"), [([], ()), (None, ()), (MISSING, ()), (["Timeout", "Gone"], ("Timeout", "Gone"))]
)
@pytest.mark.parametrize("read", [status, attempt])
def test_p7_resource_with_and_without_errors(read, errors, expected) -> None:
    """Rule: ``errors`` of a resource is optional."""
    (resource,) = read(resources=[changed({"name": "events", **COUNTS}, errors=errors)]).resources
    assert resource.errors == expected
    assert (resource.name, resource.extracted, resource.analyzed, resource.loaded) == ("events", 1864, 1860, 1850)


@pytest.mark.parametrize("completed_at", [None, MISSING, "2023-06-10T20:08:00Z"])
def test_p8_failed_attempt_with_and_without_an_end_time(completed_at) -> None:
    """Rule: ``completedAt`` alone does not decide: a failed attempt may have none."""
    run = attempt(lifecycle="not_running", disposition="failed", completedAt=completed_at)
    assert state(run) == (NOT_RUNNING, FAILED)


@pytest.mark.parametrize("lifecycle", ["RUNNING", "PENDING"])
@pytest.mark.parametrize("disposition", ["NONE", "SUCCEEDED", "FAILED"])
@pytest.mark.parametrize("read", [status, attempt])
def test_p8_active_run_with_an_old_end_and_outcome_is_still_active(read, lifecycle, disposition) -> None:
    """Rule: ``completedAt`` alone does not decide: the lifecycle does."""
    assert state(read(lifecycle=lifecycle, disposition=disposition)) == (Lifecycle(lifecycle), NONE)


@pytest.mark.parametrize("order", ["ASC", "asc", " Asc "])
def test_p9_ascending_is_sent_in_upper_case_and_held_ready_in_lower_case(order) -> None:
    """Rule: send what the enum says; the client says it in lower case when that is refused."""
    pages = PortableApi().get_run_attempts(568971, sort=order)
    assert isinstance(pages, OldestFirst)
    assert dict(pages.first.request.query)["sort"] == "ASC"
    assert dict(pages.lower_case_first.request.query)["sort"] == "asc"


@pytest.mark.parametrize("spelling", [0, 1])
def test_p9_later_pages_keep_the_spelling_that_was_accepted(spelling) -> None:
    """Rule: the spelling that the server took is used to the end."""
    pages = PortableApi().get_run_attempts(568971, sort="ASC", limit=1)
    assert isinstance(pages, OldestFirst)
    call = (pages.first, pages.lower_case_first)[spelling]
    following = call.read({"data": [ATTEMPT]}).next
    assert dict(following.request.query) == {"limit": "1", "offset": "1", "sort": ("ASC", "asc")[spelling]}


@pytest.mark.parametrize("order", ["DESC", "desc"])
def test_p9_descending_is_the_default_and_never_sent(order) -> None:
    """Rule: newest first needs no ``sort``, so no spelling of it can be refused."""
    pages = PortableApi().get_run_attempts(568971, sort=order)
    assert "sort" not in dict(pages.first.request.query)
    assert not isinstance(pages, OldestFirst)


@pytest.mark.parametrize("wrap", [lambda bare: bare, lambda bare: {"data": bare}])
def test_p10_bare_and_wrapped_in_data(wrap) -> None:
    """Rule: ``data`` is taken off where it is there."""
    api = PortableApi()
    workflow = {**STATUS, "id": 12}
    assert api.get_flow_status(568971).read(wrap(STATUS)) == status()
    assert api.get_workflow_status(12).read(wrap(workflow)).flow_id == "12"
    assert api.get_run_attempts(568971).first.read(wrap([ATTEMPT])).items == (attempt(),)
    assert [flow.flow_id for flow in api.list_flows().read(wrap([{"id": 1}, {"id": 2}]))] == ["1", "2"]


@pytest.mark.parametrize(
    ("crawled", "expected"),
    [
        (
            {
                "id": 689422,
                "lifecycle": "running",
                "disposition": "none",
                "resources": [{"name": "events", "extracted": 1400, "analyzed": 0, "loaded": 0, "errors": []}],
                "errors": [],
                "completedAt": None,
            },
            ("689422", RUNNING, NONE, None, {"extracted": 1400, "analyzed": 0, "loaded": 0}),
        ),
        (
            {**STATUS, "completedAt": "2023\u201006\u201012T20:03:00Z"},
            ("568971", NOT_RUNNING, SUCCEEDED, ENDED, None),
        ),
    ],
)
def test_p11_both_crawls_of_the_status_page(crawled, expected) -> None:
    """Rule: the page drifted; both of its examples are read."""
    run = PortableApi().get_flow_status(crawled["id"]).read(crawled)
    assert (run.flow_id, run.lifecycle, run.disposition, run.completed_at, run.rows()) == expected


@pytest.mark.parametrize("flow_id", [568971, "568971"])
def test_p12_flow_id_as_number_and_as_digits(flow_id) -> None:
    """Rule: an integer; digits as text will do."""
    assert PortableApi().get_flow_status(flow_id).request.path == "/v2/flows/568971/status"
    assert status(id=flow_id).flow_id == attempt(flow=flow_id).flow_id == "568971"


def test_p12_the_examples_list_is_no_id() -> None:
    """Rule: ``[{value: 568971}]`` is a slip of the documentation and refused."""
    with pytest.raises(InvalidArgumentError, match="flow_id"):
        PortableApi().get_flow_status([{"value": 568971}])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "schedule", [{"cron": "0 * * * *"}, {"frequency": "1h"}, {"cron": "0 * * * *", "frequency": "1h"}, {}]
)
def test_p13_flow_with_cron_frequency_or_both(schedule) -> None:
    """Rule: one of them is sent when a flow is made, which this package does not do; a flow reads with either."""
    (flow,) = PortableApi().list_flows().read({"data": [{"id": 7, "displayName": "Orders", **schedule}]})
    assert (flow.flow_id, flow.name) == ("7", "Orders")


def test_p14_status_has_no_run_id_and_an_attempt_has() -> None:
    """Rule: attempts where ids matter."""
    assert (status().kind, status().run_id) == (Kind.FLOW, None)
    assert (attempt().kind, attempt().run_id) == (Kind.RUN, "637628")


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (FlowStatusTarget("portable", "568971"), "/v2/flows/568971/status"),
        (NewestRunsTarget("portable", "568971"), "/v2/flows/568971/run"),
        (RunTarget("portable", "637628", "568971"), "/v2/flows/568971/run"),
        (WorkflowStatusTarget("portable", "12"), "/v2/workflows/12/status"),
    ],
)
def test_p14_a_wait_reads_attempts_where_ids_matter_and_status_elsewhere(target, path) -> None:
    """Rule: attempts where ids matter."""
    call = next(PortableApi().poll(target))
    assert (call.request.method, call.request.path) == ("GET", path)


def test_both_forms_leave_the_run_ready_for_xcom() -> None:
    for run in (status(), attempt(details={"events": COUNTS}, resources=MISSING)):
        assert json.loads(json.dumps(run.summary())) == run.summary()
