"""Which connections the page knows of."""

import json

import pytest

from airflow_provider_flowruns.page import connections
from airflow_provider_flowruns.page.connections import list_connections


@pytest.fixture
def stored(monkeypatch):
    """Return the connections in Airflow's database, by their ids."""
    stored: dict[str, str] = {}
    monkeypatch.setattr(connections, "_read_stored", lambda services: stored)
    return stored


def list_ids() -> list[tuple[str, str]]:
    return [(one.conn_id, one.service) for one in list_connections() if one.conn_id.startswith("page_")]


@pytest.mark.parametrize(
    ("value", "service"),
    [
        (json.dumps({"conn_type": "portable", "password": "x"}), "portable"),
        (' {"conn_type": "tableflow"}', "tableflow"),
        ("activepieces://:key@flows.example.com", "activepieces"),
        ("portable:", "portable"),
    ],
)
def test_a_connection_in_the_environment_is_known_by_its_type(monkeypatch, stored, value, service) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PAGE_ONE", value)
    assert list_ids() == [("page_one", service)]


@pytest.mark.parametrize(
    "value", ["", "{", "[]", "{}", '{"conn_type": null}', '{"conn_type": ["portable"]}', "http://x", "postgres://x"]
)
def test_any_other_connection_is_left_out(monkeypatch, stored, value) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PAGE_ONE", value)
    assert list_ids() == []


def test_the_environment_comes_before_the_database_as_in_airflow(monkeypatch, stored) -> None:
    stored |= {"page_one": "portable", "page_two": "tableflow"}
    monkeypatch.setenv("AIRFLOW_CONN_PAGE_ONE", "activepieces://x")
    assert list_ids() == [("page_one", "activepieces"), ("page_two", "tableflow")]
