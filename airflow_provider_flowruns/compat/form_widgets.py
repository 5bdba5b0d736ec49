"""The connection form for Airflow below 3.2, made from the metadata that newer versions read themselves."""

from __future__ import annotations

from functools import partial
from typing import Any

from airflow_provider_flowruns.get_provider_info import build_connection_type
from airflow_provider_flowruns.services.info import ServiceInfo


def add_connection_form(hook: type[Any], info: ServiceInfo) -> None:
    """Give a hook class the two methods that Airflow below 3.2 asks for the form of its connection type.

    Inherited methods do not count there, so every hook class needs its own.

    :param hook: the hook's class.
    :param info: the entry of its service.
    """
    hook.get_connection_form_widgets = staticmethod(partial(build_form_widgets, info))
    hook.get_ui_field_behaviour = staticmethod(partial(build_field_behaviour, info))


def build_form_widgets(info: ServiceInfo) -> dict[str, Any]:
    """Return a form field of WTForms for every field in the extra of a connection.

    All are text, the only kind that can hold a number with decimals, a path or an object there; the settings read text.

    :param info: the service.
    :raises ImportError: WTForms or Flask-AppBuilder is not installed, as on Airflow 3 without its FAB provider.
    """
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from wtforms import StringField
    from wtforms.validators import Optional

    return {
        field.name: StringField(
            field.label, description=field.description, validators=[Optional()], widget=BS3TextFieldWidget()
        )
        for field in info.fields
    }


def build_field_behaviour(info: ServiceInfo) -> dict[str, Any]:
    """Return which standard fields a connection type hides, and the labels and placeholders of the others.

    :param info: the service.
    """
    behaviour: Any = build_connection_type(info)["ui-field-behaviour"]
    return {key.replace("-", "_"): value for key, value in behaviour.items()}
