"""Send calls from a worker over one kept-alive session of requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import requests
from requests_toolbelt import MultipartEncoder
from tenacity import Retrying

from airflow_provider_flowruns.client.bodies import normalize_headers
from airflow_provider_flowruns.client.pagination import Paginator
from airflow_provider_flowruns.client.request_encoding import build_headers, encode_json_body
from airflow_provider_flowruns.client.responses import build_connection_error, build_status_error, read_result
from airflow_provider_flowruns.client.retry import ONCE, RetryPolicy
from airflow_provider_flowruns.client.settings import Settings
from airflow_provider_flowruns.client.sync_bodies import DownloadedBody, Receiver, read_whole
from airflow_provider_flowruns.client.sync_failures import describe_failure, may_have_been_sent
from airflow_provider_flowruns.client.sync_transport import limit_exchange, open_session, run_in_thread
from airflow_provider_flowruns.client.vendor_clock import VendorClock
from airflow_provider_flowruns.model.calls import Call, CallSequence, Download, Page, Pages, Part, Request
from airflow_provider_flowruns.model.errors import ApiError
from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.model.targets import Target

T = TypeVar("T")
R = TypeVar("R")


class SyncClient:
    """Sends the calls of one connection, one after the other, over a session that is kept alive.

    :param settings: where and how to reach the service.
    :param retry: how an idempotent request is repeated.
    :raises ConfigurationError: this machine lacks what the connection needs, such as its CA file.
    """

    def __init__(self, settings: Settings, retry: RetryPolicy | None = None) -> None:
        self.settings = settings
        self.vendor_clock = VendorClock()
        self._retry = retry or RetryPolicy()
        self._session = open_session(settings)
        #: The last request without a body, and how it is sent: a wait sends the same one again and again.
        self._prepared: tuple[Request, requests.PreparedRequest] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the session's connections."""
        self._session.close()

    def send(self, call: Call[T], retry: RetryPolicy | None = None) -> T:
        """Send a call and return its result.

        :param call: the request, and how to read its response.
        :param retry: instead of the client's own policy.
        :raises InvalidArgumentError: the call's body cannot be sent.
        :raises ApiError: there was no usable response; the subclass says why.
        """
        policy = retry or self._retry
        if policy is ONCE:  # every poll of every wait takes this path
            return self._send_once(call)
        result: T = Retrying(**policy.arguments(call.request))(self._send_once, call)
        return result

    def execute(self, steps: CallSequence[T], retry: RetryPolicy | None = None) -> T:
        """Send the calls of a sequence in turn and return its result.

        :param steps: the sequence.
        :param retry: instead of the client's own policy.
        :raises ApiError: a call failed and the sequence has no alternative.
        """
        try:
            call = next(steps)
            while True:
                try:
                    result = self.send(call, retry)
                except ApiError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(result)
        except StopIteration as end:
            outcome: T = end.value
            return outcome

    def iterate(self, pages: Pages[T]) -> Iterator[T]:
        """Yield the items of a list, requesting each page when the one before has been consumed."""
        paginator = Paginator(pages)
        while paginator.call:
            yield from paginator.read_page(self.execute(paginator.fetch_page()))

    def iterate_ahead(self, pages: Pages[T], most: int | None = None) -> Iterator[T]:
        """Yield the items of a list as :meth:`iterate` does, requesting each page while the one before is consumed.

        Nothing else may be sent in the meantime.

        :param pages: the list, as a service's module describes it.
        :param most: maximum number of items, None for all; no page beyond them is requested.
        """
        paginator, left = Paginator(pages), most
        future = self._fetch_in_thread(paginator)
        while future:
            new = paginator.read_page(future.result())[:left]
            left = None if left is None else left - len(new)
            future = None if left == 0 else self._fetch_in_thread(paginator)
            yield from new

    def _fetch_in_thread(self, paginator: Paginator) -> Future[Page[Any]] | None:
        return run_in_thread("flowruns-next-page", self.execute, paginator.fetch_page()) if paginator.call else None

    @contextmanager
    def download(self, download: Download, retry: RetryPolicy | None = None) -> Generator[DownloadedBody]:
        """Request a file and yield its body, which is read while it is consumed.

        The request is sent again only before the body begins.

        :param download: the request.
        :param retry: instead of the client's own policy.
        :raises ApiError: there was no usable response; a body that ends early is a ServiceConnectionError.
        """
        policy = retry or self._retry
        body: DownloadedBody = Retrying(**policy.arguments(download.request))(self._open_body, download)
        try:
            yield body
        finally:
            body.close()

    def _open_body(self, download: Download) -> DownloadedBody:
        opened = self._exchange(download.request, DownloadedBody)
        if isinstance(opened, ApiError):
            raise opened
        if not opened.is_usable:
            raise build_status_error(self.settings, download, self.settings.mask.response(opened.read_error()))
        return opened

    def poll(self, target: Target) -> tuple[FlowRun, ...] | ApiError:
        """Poll a target once, without retries: a wait has its own error budget.

        :param target: what the wait is for.
        :return: the runs, newest first, or the error.
        """
        try:
            return self.execute(self.settings.service.poll(target), ONCE)
        except ApiError as error:
            return error

    def _send_once(self, call: Call[T]) -> T:
        response = self._exchange(call.request, read_whole)
        if isinstance(response, ApiError):
            raise response
        return read_result(self.settings, call, response)

    def _exchange(self, request: Request, receive: Receiver[R]) -> R | ApiError:
        """Send a request and return what becomes of its response, or the error.

        The error is not raised here: it would reference this frame and the library's error, and with them the token.
        """
        settings, body = self.settings, encode_json_body(request)
        has_begun = False
        with limit_exchange(settings) as exchange:
            try:
                with _open_multipart(request.parts, exchange.extend) as upload:
                    prepared = self._prepare(request, body if upload is None else upload)
                    has_begun = True
                    return self._send_prepared(request, prepared, receive)
            except Exception as error:  # any error of a library
                sent = has_begun and not exchange.is_connecting and may_have_been_sent(error)
                reason = describe_failure(error, is_connecting=exchange.is_connecting)
                return build_connection_error(settings, request, reason, sent=sent, has_begun=has_begun)

    def _prepare(self, request: Request, body: Any) -> requests.PreparedRequest:
        if body is None and self._prepared and self._prepared[0] == request:
            return self._prepared[1]
        headers = build_headers(self.settings, request)
        if request.parts:
            headers["Content-Type"] = body.content_type
        url = self.settings.base_url + request.path
        prepared = self._session.prepare_request(
            requests.Request(request.method, url, params=list(request.query), data=body, headers=headers)
        )
        if body is None:
            self._prepared = request, prepared
        return prepared

    def _send_prepared(
        self, request: Request, prepared: requests.PreparedRequest, receive: Receiver[R]
    ) -> R | ApiError:
        settings, sent_at = self.settings, time.time()
        response = self._session.send(
            prepared,
            timeout=(settings.connect_timeout, settings.timeout),
            allow_redirects=False,
            stream=True,
        )
        headers = normalize_headers(response.headers.items())
        self.vendor_clock.measure(headers, sent_at, time.time())
        return receive(settings, request, response, headers)


class _Upload(MultipartEncoder):  # type: ignore[misc]
    """A multipart body that reports when a piece of it is about to be sent."""

    def __init__(self, fields: list[tuple[str, Any]], on_read: Callable[[], None]) -> None:
        super().__init__(fields)
        self._on_read = on_read

    def read(self, size: int = -1) -> bytes:
        self._on_read()
        piece: bytes = super().read(size)
        return piece


@contextmanager
def _open_multipart(parts: tuple[Part, ...], on_read: Callable[[], None]) -> Generator[_Upload | None]:
    """Return a multipart body that is read from its files while it is sent; None without parts."""
    if not parts:
        yield None
        return
    with ExitStack() as files:
        fields: list[tuple[str, Any]] = [
            (part.name, (part.filename, files.enter_context(part.open()), part.content_type))
            if part.open
            else (part.name, part.text)
            for part in parts
        ]
        yield _Upload(fields, on_read)
