"""One wrong entry here breaks ``import airflow`` for a whole installation."""

import json
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import distribution, entry_points, version
from importlib.resources import files
from inspect import signature
from typing import Any

import jsonschema
import pytest
from airflow.providers.common.compat.sdk import redact

from airflow_provider_flowruns import __version__
from airflow_provider_flowruns.client.settings import parse_settings
from airflow_provider_flowruns.get_provider_info import get_provider_info
from airflow_provider_flowruns.services.registry import get_service, list_service_names

INFO: Any = get_provider_info()
CONNECTION_TYPES = INFO["connection-types"]
# Without the description, which every connection may have.
STANDARD_FIELDS = {"host", "port", "login", "password", "schema"}


def schema(name: str) -> dict:
    return json.loads((files("airflow") / name).read_text())


def test_airflow_accepts_it() -> None:
    jsonschema.Draft7Validator(schema("provider_info.schema.json")).validate(INFO)


def test_it_keeps_to_the_strict_schema_of_airflows_own_providers() -> None:
    strict = schema("provider.yaml.schema.json")
    # What a release of Airflow's own carries beside: made when it is built, or about Airflow's own repository.
    strict["required"] = sorted({*strict["required"]} - {"versions", "state", "source-date-epoch", "dependencies"})
    # Airflow below 3.2 skips the commands, and its schema does not know them.
    known = INFO if "cli" in strict["properties"] else {key: value for key, value in INFO.items() if key != "cli"}
    jsonschema.Draft7Validator(strict).validate(known)


def test_it_is_plain_json() -> None:
    assert json.loads(json.dumps(INFO)) == INFO


def test_each_call_returns_the_same_and_not_the_same_object() -> None:
    get_provider_info()["name"] = "changed by a caller"
    assert get_provider_info() == INFO


def test_it_is_named_as_the_distribution() -> None:
    assert INFO["package-name"] == distribution("airflow-provider-flowruns").metadata["Name"]


def test_the_version_is_that_of_the_distribution() -> None:
    assert version("airflow-provider-flowruns") == __version__


def test_airflow_finds_it() -> None:
    (found,) = [
        one
        for one in entry_points(group="apache_airflow_provider")
        if one.module.startswith("airflow_provider_flowruns")
    ]
    assert found.load()() == INFO


def dotted(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from dotted(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from dotted(inner)
    elif isinstance(value, str) and value.startswith("airflow_provider_flowruns."):
        yield value


@pytest.mark.parametrize("path", sorted({*dotted(INFO)}))
def test_every_module_and_class_in_it_can_be_imported(path) -> None:
    module, _, name = path.rpartition(".")
    if name[0].isupper():
        assert isinstance(getattr(import_module(module), name), type)
    elif path in INFO["cli"]:
        assert callable(getattr(import_module(module), name))
    else:
        import_module(path)


@pytest.mark.parametrize("kind", ["hooks", "operators", "sensors"])
def test_every_service_is_listed_once_in_every_kind_of_module(kind) -> None:
    modules = [entry["python-modules"][0] for entry in INFO[kind]]
    assert sorted(modules) == sorted(f"airflow_provider_flowruns.{kind}.{name}" for name in list_service_names())


def test_the_operators_for_every_service_are_listed_with_each_of_them() -> None:
    assert [entry["python-modules"][1:] for entry in INFO["operators"]] == [
        ["airflow_provider_flowruns.operators.quality"] for _ in list_service_names()
    ]


@pytest.mark.parametrize("kind", [key for key, entries in INFO.items() if isinstance(entries, list)])
def test_every_entry_belongs_to_an_integration(kind) -> None:
    names = {one["integration-name"] for one in INFO["integrations"]}
    assert {entry["integration-name"] for entry in INFO[kind] if "integration-name" in entry} <= names


def test_there_is_one_connection_type_for_each_service() -> None:
    assert [one["connection-type"] for one in CONNECTION_TYPES] == [*list_service_names()]


@pytest.mark.parametrize("entry", CONNECTION_TYPES, ids=lambda entry: entry["connection-type"])
class TestConnectionType:
    def test_it_says_what_its_hook_says(self, entry) -> None:
        module, _, name = entry["hook-class-name"].rpartition(".")
        hook = getattr(import_module(module), name)
        assert (hook.conn_type, hook.hook_name) == (entry["connection-type"], entry["hook-name"])
        assert hook.default_conn_name == f"{hook.conn_type}_default"

    def test_its_form_has_a_field_for_every_extra_that_is_read_and_for_no_other(self, entry) -> None:
        read: list[str] = []

        class Extra(dict):
            def get(self, name: str, default: object = None) -> object:
                read.append(name)
                return default

            def __getitem__(self, name: str) -> object:
                read.append(name)
                raise KeyError(name)

        kind = entry["connection-type"]
        parse_settings(kind, "my_conn", host=None, schema=None, port=None, password="made-up", extra=Extra())
        assert sorted({*read}) == sorted(entry["conn-fields"])

    def test_no_field_is_mandatory_and_each_explains_itself(self, entry) -> None:
        for field in entry["conn-fields"].values():
            assert "null" in field["schema"]["type"]
            assert field["label"]
            assert field["description"]

    def test_what_it_hides_in_the_form_airflow_hides_elsewhere(self, entry) -> None:
        hidden = [name for name, field in entry["conn-fields"].items() if field["schema"].get("format") == "password"]
        redacted: Any = redact(dict.fromkeys(hidden, "made-up"))
        assert set(redacted.values()) <= {"***"}
        assert len(hidden) == (2 if entry["connection-type"] == "activepieces" else 0)

    def test_its_form_shows_the_standard_fields_that_are_read_and_no_other(self, entry) -> None:
        read = {*signature(parse_settings).parameters} & STANDARD_FIELDS
        if not get_service(entry["connection-type"]).info.auth.uses_login:
            read -= {"login"}
        # The base URL says the scheme; a schema is read from connections that are not made in the form.
        assert STANDARD_FIELDS - {*entry["ui-field-behaviour"]["hidden-fields"]} == read - {"schema"}

    def test_each_standard_field_it_shows_has_a_label_and_a_placeholder_of_its_own(self, entry) -> None:
        form = entry["ui-field-behaviour"]
        shown = STANDARD_FIELDS - {*form["hidden-fields"]}
        assert {*form["relabeling"]} == {*form["placeholders"]} == shown

    def test_the_form_names_the_default_host(self, entry) -> None:
        placeholder = entry["ui-field-behaviour"]["placeholders"]["host"]
        assert placeholder == f"{get_service(entry['connection-type']).info.default_url} if empty"
