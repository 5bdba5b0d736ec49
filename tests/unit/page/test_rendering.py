"""The page as HTML: what it says, and that nothing in it can run."""

import base64
import hashlib
import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from airflow_provider_flowruns.model.runs import Disposition, Flow, Lifecycle
from airflow_provider_flowruns.page.flow_history import ConnectionHistory, FlowHistory
from airflow_provider_flowruns.page.rendering import Card, get_style_hash, render_page, render_refusal
from airflow_provider_flowruns.page.waits import Wait, Waits
from tests.unit.page.runs import BEGAN, make_run

NOW = BEGAN + timedelta(hours=2)
HOSTILE = "\"><script>alert('x')</script>{{ 7 * 7 }}"


class Checker(HTMLParser):
    """Notes the elements and attributes of a page; fails if elements are not closed in order."""

    VOID = frozenset({"meta", "rect", "use", "path"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag, self.getpos()


def parse(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    return checker


def make_wait(flow_id="7", **fields) -> Wait:
    values = {
        "dag_id": "orders",
        "dag_run_id": "manual__2026-01-31T06:00:00+00:00",
        "task_id": "wait_for_orders",
        "map_index": -1,
        "conn_id": "portable_default",
        "service": "portable",
        "flow_id": flow_id,
        "target": f"the last run of Portable flow {flow_id}",
        "guards": ("a run that ended at 2026-01-31 06:00:00 UTC or later (completed_after)",),
        "deadline": NOW + timedelta(minutes=90),
    }
    return Wait(**{**values, **fields})


def render(*histories: FlowHistory, waits=(), history=None, service="portable") -> str:
    read = history or ConnectionHistory(histories, NOW - timedelta(seconds=12))
    return render_page([Card("portable_default", service, read, waits)], Waits(waits), NOW)


def make_history(*runs, name="Orders", flow_id="7", **fields) -> FlowHistory:
    return FlowHistory(Flow("portable", flow_id, name, **fields), runs)


def get_text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html.partition("</style>")[2]).split())


def test_a_flow_has_its_runs_its_rate_and_its_waits() -> None:
    runs = [make_run("3"), make_run("2", Disposition.FAILED), make_run("1", seconds=180)]
    html = render(make_history(*runs), waits=(make_wait(),))
    text = get_text(html)
    for part in (
        "portable_default Portable",
        "Orders 7",
        "66 % (2 of 3)",
        "1 min",
        "SUCCEEDED 2026-01-31 06:00:00 UTC",
        "orders.wait_for_orders until 2026-01-31 09:30:00 UTC, in 1 h 30 min",
        "for the last run of Portable flow 7; a run that ended at 2026-01-31 06:00:00 UTC or later (completed_after)",
        "Read 12 s ago.",
    ):
        assert part in text
    labels = [attrs["aria-label"] for tag, attrs in parse(html).tags if tag == "g"]
    assert [label.partition(" ")[0] for label in labels] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]


def test_a_bar_has_a_sign_and_a_title_beside_its_colour() -> None:
    html = render(make_history(make_run("1", Disposition.FAILED)))
    assert '<use href="#sign-failed"' in html
    assert "<title>FAILED · 2026-01-31 06:00:00 UTC · took 1 min · run 1</title>" in html
    signs = set(re.findall(r'<symbol id="sign-([a-z]+)"', html))
    assert set(re.findall(r'<use href="#sign-([a-z]+)"', html)) <= signs


def test_links_lead_to_the_dag_run_and_the_task_wherever_airflow_is_served() -> None:
    wait = make_wait(dag_id="orders/ä", task_id="group.wait", map_index=3)
    links = [attrs["href"] for tag, attrs in parse(render(make_history(), waits=(wait,))).tags if tag == "a"]
    run = "../dags/orders%2F%C3%A4/runs/manual__2026-01-31T06%3A00%3A00%2B00%3A00"
    assert {run, f"{run}/tasks/group.wait/mapped/3"} <= {*links}


def test_links_to_a_service_tell_it_nothing_about_airflow() -> None:
    runs = [make_run(str(number), url=f"https://flows.example.com/{number}") for number in range(2)]
    tags = parse(render(make_history(*runs))).tags
    links = [attrs for tag, attrs in tags if tag == "a" and attrs["href"].startswith("https:")]
    assert len(links) == 2
    assert {attrs["rel"] for attrs in links} == {"noopener noreferrer"}


@pytest.mark.parametrize(
    "html",
    [
        render(
            make_history(make_run(HOSTILE, vendor_status=HOSTILE, errors=(HOSTILE,)), name=HOSTILE, flow_id=HOSTILE)
        ),
        render(FlowHistory(Flow("portable", "7", HOSTILE), (), HOSTILE)),
        render(history=ConnectionHistory((), NOW, HOSTILE)),
        render(make_history(make_run(url=f"https://x/{HOSTILE}"))),
        render(waits=(make_wait(None, target=HOSTILE, guards=(HOSTILE,), dag_id=HOSTILE, task_id=HOSTILE),)),
        render(service=HOSTILE),
        render_refusal(HOSTILE, HOSTILE),
    ],
    ids=["run", "error of a flow", "error of a connection", "address", "wait", "service", "refusal"],
)
def test_what_services_and_users_wrote_is_text(html) -> None:
    checker = parse(html)
    assert {tag for tag, _ in checker.tags} & {"script", "iframe", "img", "object", "form"} == set()
    assert "alert" in html
    assert "{{ 7 * 7 }}" in html or "%7B%7B" in html
    assert [name for _, attrs in checker.tags for name in attrs if name.startswith("on") or name == "style"] == []


def test_the_style_sheet_is_the_one_whose_hash_the_policy_names() -> None:
    (style,) = re.findall(r"<style>(.*?)</style>", render(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert get_style_hash() == f"sha256-{digest}"


def test_nothing_is_loaded_from_elsewhere() -> None:
    html = render(make_history(make_run()))
    assert not re.search(r"<(link|script|img|iframe|base)\b", html)
    assert "url(" not in html
    assert "@import" not in html


def test_a_connection_that_cannot_be_read_shows_why() -> None:
    text = get_text(render(history=ConnectionHistory((), NOW, "Portable responded with 401")))
    assert "Not readable. Portable responded with 401" in text
    assert "The service lists no flow" not in text


def test_flows_that_were_read_before_an_error_are_shown_with_it() -> None:
    histories = (make_history(make_run()), FlowHistory(Flow("portable", "8", "Later"), None))
    text = get_text(render(history=ConnectionHistory(histories, NOW, "Portable responded with 429")))
    assert "Reading ended early. Portable responded with 429" in text
    assert "Later 8 not read" in text


def test_a_flow_that_cannot_be_read_shows_why_in_its_own_row() -> None:
    text = get_text(render(FlowHistory(Flow("portable", "8", "Gone"), (), "no such flow"), make_history(make_run())))
    assert "Gone 8 no such flow" in text
    assert "100 % (1 of 1)" in text


def test_a_slow_service_is_said_to_be_read_still() -> None:
    html = render_page([Card("slow", "portable", None, (make_wait(),))], Waits(), NOW)
    assert "is still being read" in get_text(html)
    assert "orders.wait_for_orders" in html


def test_a_wait_for_no_listed_flow_is_shown_below_the_flows() -> None:
    text = get_text(render(make_history(make_run()), waits=(make_wait("99"), make_wait(None))))
    assert "Other waits on this connection orders.wait_for_orders" in text


def test_many_waits_for_a_flow_are_counted() -> None:
    text = get_text(render(make_history(), waits=tuple(make_wait() for _ in range(25))))
    assert text.count("orders.wait_for_orders") == 10
    assert "and 15 more" in text


def test_a_deadline_that_has_passed_is_said_to_have() -> None:
    assert "5 min ago" in get_text(render(make_history(), waits=(make_wait(deadline=NOW - timedelta(minutes=5)),)))


def test_a_rate_counts_only_runs_that_succeeded_or_failed() -> None:
    runs = [
        make_run(disposition=Disposition.CANCELED),
        make_run(disposition=Disposition.NONE, lifecycle=Lifecycle.RUNNING),
    ]
    assert "%" not in get_text(render(make_history(*runs)))


def test_one_failure_in_many_is_not_a_hundred_percent() -> None:
    runs = [make_run(str(number)) for number in range(299)]
    assert "99 % (299 of 300)" in get_text(render(make_history(make_run("bad", Disposition.FAILED), *runs)))


def test_without_connections_it_says_what_it_looks_for() -> None:
    assert "No connection to show" in get_text(render_page([], Waits(unreadable=2), NOW))
    assert "2 deferred tasks are not shown" in get_text(render_page([], Waits(unreadable=2), NOW))
