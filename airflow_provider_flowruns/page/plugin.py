"""The plugin that adds the page to Airflow. Every Airflow process loads it, so it imports next to nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin, conf

from airflow_provider_flowruns.compat.ui_plugins import can_add_pages

TITLE = "Flow runs"
#: Path below Airflow's own address.
URL_PREFIX = "/flowruns"

Message = MutableMapping[str, Any]


async def serve_page(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Serve a request. Only the api-server has requests, and imports what they need.

    :param scope: the request, as ASGI describes it.
    :param receive: returns what the client sends.
    :param send: sends to the client.
    """
    from airflow_provider_flowruns.page.app import get_app

    await get_app()(scope, receive, send)


def is_page_on() -> bool:
    """Return whether this Airflow can show the page and ``[flowruns] page`` does not turn it off."""
    return can_add_pages() and conf.getboolean("flowruns", "page", fallback=True)


class FlowRunsPlugin(AirflowPlugin):
    """Adds the page and its menu entry, where :func:`is_page_on`."""

    name = "flowruns"

    def __init__(self) -> None:
        if not is_page_on():
            return
        self.fastapi_apps = [{"app": serve_page, "url_prefix": URL_PREFIX, "name": TITLE}]
        # Without a url_route, so that it opens in a tab of its own: Airflow shows a view with a route in an iframe
        # whose sandbox blocks all links that leave it. The address is relative to Airflow's own, with its path.
        self.external_views = [
            {"name": TITLE, "href": f"{URL_PREFIX.removeprefix('/')}/", "destination": "nav", "category": "browse"}
        ]
