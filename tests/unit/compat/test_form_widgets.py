"""The form that Airflow below 3.2 gets from the hooks is the one that newer versions read from the metadata."""

import json
import sys
from importlib.resources import files
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import jsonschema
import pytest

from airflow_provider_flowruns.get_provider_info import get_provider_info
from airflow_provider_flowruns.hooks.activepieces import ActivepiecesHook
from airflow_provider_flowruns.hooks.base import FlowRunsHook
from airflow_provider_flowruns.hooks.portable import PortableHook
from airflow_provider_flowruns.hooks.tableflow import TableFlowHook

HOOKS = [PortableHook, ActivepiecesHook, TableFlowHook]
INFO: Any = get_provider_info()
TYPES = {entry["connection-type"]: entry for entry in INFO["connection-types"]}


class Field:
    """A field of WTForms before it is part of a form, with its arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.field_class, self.args, self.kwargs = type(self), args, kwargs


LIBRARIES = {
    "wtforms": {"StringField": type("StringField", (Field,), {})},
    "wtforms.validators": {"Optional": type("Optional", (), {})},
    "flask_appbuilder": {},
    "flask_appbuilder.fieldwidgets": {"BS3TextFieldWidget": type("BS3TextFieldWidget", (), {})},
}


@pytest.fixture
def form_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries of Airflow 2.11's forms, or stand-ins for those that are not installed, as Airflow 3.1 has them."""
    missing = {name for name in LIBRARIES if find_spec(name.partition(".")[0]) is None}
    for name in missing:
        module = ModuleType(name)
        vars(module).update(LIBRARIES[name])
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("method", ["get_connection_form_widgets", "get_ui_field_behaviour"])
def test_a_hook_class_has_the_methods_itself_since_inherited_ones_do_not_count(hook, method) -> None:
    assert method in vars(hook)
    assert method not in vars(FlowRunsHook)


@pytest.mark.parametrize("hook", HOOKS)
def test_the_form_has_the_extra_fields_of_the_metadata(form_libraries, hook) -> None:
    form = {
        name: (field.field_class.__name__, field.args, field.kwargs["description"])
        for name, field in hook.get_connection_form_widgets().items()
    }
    fields = TYPES[hook.conn_type]["conn-fields"]
    assert form == {name: ("StringField", (one["label"],), one["description"]) for name, one in fields.items()}


@pytest.mark.parametrize("hook", HOOKS)
def test_no_extra_field_is_mandatory(form_libraries, hook) -> None:
    for field in hook.get_connection_form_widgets().values():
        assert [type(one).__name__ for one in field.kwargs["validators"]] == ["Optional"]


@pytest.mark.parametrize("hook", HOOKS)
def test_the_form_treats_the_standard_fields_as_the_metadata_says(hook) -> None:
    behaviour = hook().get_ui_field_behaviour()
    assert {key.replace("_", "-"): value for key, value in behaviour.items()} == TYPES[hook.conn_type][
        "ui-field-behaviour"
    ]
    schema = json.loads((files("airflow") / "customized_form_field_behaviours.schema.json").read_text())
    jsonschema.Draft7Validator(schema).validate(behaviour)
