"""The package in Airflow's command line and in the connection form."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tools.real_airflow import RealAirflow

pytestmark = pytest.mark.airflow

PACKAGE = "airflow-provider-flowruns"
HOOKS = {
    "portable": "airflow_provider_flowruns.hooks.portable.PortableHook",
    "activepieces": "airflow_provider_flowruns.hooks.activepieces.ActivepiecesHook",
    "tableflow": "airflow_provider_flowruns.hooks.tableflow.TableFlowHook",
}
FIELDS = {"timeout", "verify", "proxies", "headers", "max_response_mb"}
WEBHOOK_FIELDS = {"webhook_username", "webhook_password", "webhook_header_name", "webhook_header_secret"}
FIELDS_BY_TYPE = {"portable": FIELDS, "activepieces": FIELDS | WEBHOOK_FIELDS | {"project_id"}, "tableflow": FIELDS}
COMMANDS = {
    "get": ["get", PACKAGE],
    "hooks": ["hooks"],
    "behaviours": ["behaviours"],
    "widgets": ["widgets"],
}


@pytest.fixture(scope="module")
def providers(airflow: RealAirflow) -> dict[str, Any]:
    """Return the output of ``airflow providers`` by command. None of them may warn."""

    def run_command(arguments: list[str]) -> Any:
        result = airflow.run_cli("providers", *arguments, "--output", "json")
        assert result.returncode == 0, result.stderr
        assert "warn" not in (result.stdout + result.stderr).lower()
        return json.loads(result.stdout)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(COMMANDS, pool.map(run_command, COMMANDS.values()), strict=True))


@pytest.fixture(scope="module")
def forms(airflow: RealAirflow) -> dict[str, Any]:
    """Return the definition of the connection form, by connection type."""
    return {form["connection_type"]: form for form in airflow.get("/ui/connections/hook_meta")}


def test_get_lists_the_package(providers: dict[str, Any]) -> None:
    assert [provider["Provider"] for provider in providers["get"]] == [PACKAGE]


def test_hooks_lists_the_connection_types(providers: dict[str, Any]) -> None:
    ours = {hook["connection_type"]: hook for hook in providers["hooks"] if hook["package_name"] == PACKAGE}
    assert {kind: hook["class"] for kind, hook in ours.items()} == HOOKS
    assert {kind: hook["conn_id_attribute_name"] for kind, hook in ours.items()} == {
        kind: f"{kind}_conn_id" for kind in HOOKS
    }


def test_behaviours_lists_the_connection_types(providers: dict[str, Any]) -> None:
    assert {behaviour["field_behaviours"] for behaviour in providers["behaviours"]} >= HOOKS.keys()


def test_widgets_lists_the_fields_of_each_type(providers: dict[str, Any]) -> None:
    listed = {
        widget["connection_parameter_name"] for widget in providers["widgets"] if widget["package_name"] == PACKAGE
    }
    assert listed == {f"extra__{kind}__{name}" for kind, names in FIELDS_BY_TYPE.items() for name in names}


@pytest.mark.parametrize("kind", HOOKS)
def test_form_shows_the_fields_of_each_type(forms: dict[str, Any], kind: str) -> None:
    form = forms[kind]
    assert form["hook_class_name"] == HOOKS[kind]
    assert form["extra_fields"].keys() == FIELDS_BY_TYPE[kind]
    standard = form["standard_fields"]
    assert not standard["host"]["hidden"]
    assert not standard["password"]["hidden"]
    assert "token" in standard["password"]["title"].lower()
