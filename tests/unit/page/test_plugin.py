"""The plugin: where it adds the page, and what it costs processes that have none."""

import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from importlib.metadata import entry_points

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS

from airflow_provider_flowruns.page import plugin as plugin_module
from airflow_provider_flowruns.page.plugin import FlowRunsPlugin, serve_page

needs_pages = pytest.mark.skipif(not AIRFLOW_V_3_1_PLUS, reason="Airflow shows pages of plugins since 3.1")


def test_airflow_finds_it() -> None:
    found = [one for one in entry_points(group="airflow.plugins") if one.module.startswith("airflow_provider_flowruns")]
    assert [one.load() for one in found] == [FlowRunsPlugin]


@needs_pages
def test_it_adds_the_page_and_a_menu_entry_that_leads_to_it() -> None:
    plugin = FlowRunsPlugin()
    (app,) = plugin.fastapi_apps
    assert (app["app"], app["url_prefix"]) == (serve_page, "/flowruns")
    (view,) = plugin.external_views
    assert f"/{view['href']}" == f"{app['url_prefix']}/"
    assert view["destination"] == "nav"
    assert "url_route" not in view


def is_empty(plugin: FlowRunsPlugin) -> bool:
    return not any(getattr(plugin, name, None) for name in ("fastapi_apps", "external_views", "react_apps"))


def test_page_false_adds_nothing(monkeypatch) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWRUNS__PAGE", "False")
    assert is_empty(FlowRunsPlugin())


def test_an_airflow_without_pages_gets_nothing(monkeypatch) -> None:
    monkeypatch.setattr(plugin_module, "can_add_pages", lambda: False)
    assert is_empty(FlowRunsPlugin())


IMPORTS = """
import sys
from airflow.providers.common.compat.sdk import AirflowPlugin, conf
before = set(sys.modules)
from airflow_provider_flowruns.page.plugin import FlowRunsPlugin
FlowRunsPlugin()
print(*sorted(set(sys.modules) - before))
"""


def test_a_process_that_loads_it_imports_neither_the_page_nor_a_web_framework() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    found = [name for name in done.stdout.split() if name.partition(".")[0] not in sys.stdlib_module_names]
    package = "airflow_provider_flowruns"
    ours = {package, *(f"{package}.{name}" for name in ("compat", "compat.ui_plugins", "page", "page.plugin"))}
    # From 3.2 on, Airflow itself has imported the package by then.
    assert {*found} - {package, "airflow.providers.common.compat.version_compat"} == ours - {package}
