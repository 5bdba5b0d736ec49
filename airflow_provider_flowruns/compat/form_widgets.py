"""The connection form for Airflow below 3.2, made from the metadata that newer versions read by themselves."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

from airflow_provider_flowruns.get_provider_info import get_provider_info

HookT = TypeVar("HookT", bound=type[Any])


def has_connection_form(hook: HookT) -> HookT:
    """Give a hook class the two methods that Airflow below 3.2 asks for the form of its connection type.

    Inherited methods do not count there, so every hook class takes this decorator.

    :param hook: a class with the ``conn_type`` of one of this package's connection types.
    """
    for name, method in {
        "get_connection_form_widgets": connection_form_widgets,
        "get_ui_field_behaviour": ui_field_behaviour,
    }.items():
        setattr(hook, name, staticmethod(partial(method, hook.conn_type)))
    return hook


def connection_form_widgets(conn_type: str) -> dict[str, Any]:
    """Return a form field of WTForms for every extra of a connection type.

    All are text, the only kind that can hold a number with decimals, a path or an object there; the settings read text.

    :param conn_type: ``portable``, ``activepieces`` or ``tableflow``.
    :raises ImportError: WTForms or Flask-AppBuilder is not installed, as on Airflow 3 without its FAB provider.
    """
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from wtforms import StringField
    from wtforms.validators import Optional

    return {
        name: StringField(
            field["label"], description=field["description"], validators=[Optional()], widget=BS3TextFieldWidget()
        )
        for name, field in _metadata(conn_type)["conn-fields"].items()
    }


def ui_field_behaviour(conn_type: str) -> dict[str, Any]:
    """Return which standard fields a connection type hides, and the labels and placeholders of the others.

    :param conn_type: ``portable``, ``activepieces`` or ``tableflow``.
    """
    return {key.replace("-", "_"): value for key, value in _metadata(conn_type)["ui-field-behaviour"].items()}


def _metadata(conn_type: str) -> dict[str, Any]:
    types: Any = get_provider_info()["connection-types"]
    return next(entry for entry in types if entry["connection-type"] == conn_type)
