"""How a call travels from a worker: requests, one kept-alive session."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import requests
import urllib3
from requests_toolbelt import MultipartEncoder
from tenacity import Retrying

from airflow_provider_flowruns.client.bodies import BodyBuffer, UnreadableBodyError, normalize_headers
from airflow_provider_flowruns.client.pagination import Paginator
from airflow_provider_flowruns.client.request_encoding import build_headers, encode_json_body
from airflow_provider_flowruns.client.responses import build_body_error, build_connection_error, read_result
from airflow_provider_flowruns.client.retry import ONCE, RetryPolicy
from airflow_provider_flowruns.client.settings import Settings
from airflow_provider_flowruns.client.sync_transport import limit_exchange, open_session, run_in_thread
from airflow_provider_flowruns.client.vendor_clock import VendorClock
from airflow_provider_flowruns.model.calls import Call, CallSequence, Page, Pages, Part, Request, Response
from airflow_provider_flowruns.model.errors import ApiError
from airflow_provider_flowruns.model.runs import FlowRun
from airflow_provider_flowruns.model.targets import Target

T = TypeVar("T")

_CHUNK = 64 * 1024


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
        """Send a call and return what its answer says.

        :param call: what to ask, and how to read the answer.
        :param retry: instead of the client's own policy.
        :raises InvalidArgumentError: the call has a body that cannot be sent.
        :raises ApiError: there was no usable answer; the subclass says why.
        """
        policy = retry or self._retry
        result: T = Retrying(**policy.arguments(call.request))(self._send_once, call)
        return result

    def execute(self, steps: CallSequence[T], retry: RetryPolicy | None = None) -> T:
        """Send the calls of some steps in turn and return their answer.

        :param steps: a generator of calls.
        :param retry: instead of the client's own policy.
        :raises ApiError: a call failed and the steps had no other way.
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
            answer: T = end.value
            return answer

    def iterate(self, pages: Pages[T]) -> Iterator[T]:
        """Yield the items of a list, asking for each page when the one before has been used up."""
        paginator = Paginator(pages)
        while paginator.call:
            yield from paginator.read_page(self.execute(paginator.fetch_page()))

    def iterate_ahead(self, pages: Pages[T], most: int | None = None) -> Iterator[T]:
        """Yield the items of a list as :meth:`iterate` does, asking for each page while the one before is used up.

        Nothing else may be sent meanwhile.

        :param pages: the list, as a service's module describes it.
        :param most: items yielded at most, None for all; no page beyond them is asked for.
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

    def poll(self, target: Target) -> tuple[FlowRun, ...] | ApiError:
        """Look at a target once, without repeating anything: a wait has its own patience.

        :param target: what the wait is for.
        :return: the runs seen, newest first, or the error that came instead.
        """
        try:
            return self.execute(self.settings.service.poll(target), ONCE)
        except ApiError as error:
            return error

    def _send_once(self, call: Call[T]) -> T:
        response = self._exchange(call.request)
        if isinstance(response, ApiError):
            raise response
        return read_result(self.settings, call, response)

    def _exchange(self, request: Request) -> Response | ApiError:
        """Send a request and return its answer, or the error that came instead.

        The error is not raised here: it would hold this frame and the other library's error, and with them the token.
        """
        settings, body = self.settings, encode_json_body(request)
        is_begun = False
        with limit_exchange(settings) as exchange:
            try:
                with _multipart(request.parts, exchange.extend) as upload:
                    prepared = self._prepared(request, body if upload is None else upload)
                    is_begun = True
                    return self._response(request, prepared)
            except Exception as error:  # whatever a library raises
                sent = is_begun and not exchange.is_connecting and _may_have_been_sent(error)
                said = _reason(error, is_connecting=exchange.is_connecting)
                return build_connection_error(settings, request, said, sent=sent)

    def _prepared(self, request: Request, body: Any) -> requests.PreparedRequest:
        headers = build_headers(self.settings, request)
        if request.parts:
            headers["Content-Type"] = body.content_type
        url = self.settings.base_url + request.path
        return self._session.prepare_request(
            requests.Request(request.method, url, params=list(request.query), data=body, headers=headers)
        )

    def _response(self, request: Request, prepared: requests.PreparedRequest) -> Response | ApiError:
        settings, sent_at = self.settings, time.time()
        with self._session.send(
            prepared,
            timeout=(settings.connect_timeout, settings.timeout),
            allow_redirects=False,
            stream=True,
        ) as answer:
            headers = normalize_headers(answer.headers.items())
            self.vendor_clock.measure(headers, sent_at, time.time())
            try:
                return Response(answer.status_code, headers, _body(answer, headers, settings.max_response_bytes))
            except UnreadableBodyError as error:
                return build_body_error(settings, request, answer.status_code, error)


def _body(answer: requests.Response, headers: Mapping[str, str], max_bytes: int) -> bytes:
    if answer.status_code < 200:
        return b""  # the connection speaks something else from here on
    body = BodyBuffer(headers, max_bytes)
    while chunk := answer.raw.read(_CHUNK, decode_content=False):
        body.add(chunk)
    return body.decompressed()


class _Upload(MultipartEncoder):  # type: ignore[misc]
    """A multipart body that says when a piece of it is about to be sent."""

    def __init__(self, fields: list[tuple[str, Any]], on_read: Callable[[], None]) -> None:
        super().__init__(fields)
        self._on_read = on_read

    def read(self, size: int = -1) -> bytes:
        self._on_read()
        piece: bytes = super().read(size)
        return piece


@contextmanager
def _multipart(parts: tuple[Part, ...], on_read: Callable[[], None]) -> Generator[_Upload | None]:
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


def _may_have_been_sent(error: BaseException) -> bool:
    before_sending = requests.exceptions.ConnectTimeout, urllib3.exceptions.NewConnectionError, ssl.CertificateError
    return not any(isinstance(one, before_sending) for one in _chain(error))


def _chain(error: Any) -> Iterator[BaseException]:
    """Yield an error and what caused it, as the libraries say it in their various ways."""
    seen: list[BaseException] = []
    while isinstance(error, BaseException):
        seen.append(error)
        yield error
        hidden = (getattr(error, "reason", None), *error.args, error.__cause__)
        error = next((one for one in hidden if isinstance(one, BaseException) and one not in seen), None)


def _reason(error: BaseException, *, is_connecting: bool) -> str:
    """Say in a few words why there was no answer; requests' own text repeats the whole URL."""
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy could not be reached or refused"
    *_, cause = _chain(error)
    if isinstance(error, requests.exceptions.ConnectTimeout) or (is_connecting and isinstance(cause, TimeoutError)):
        return "no connection within the connect timeout"
    if isinstance(error, requests.exceptions.Timeout) or isinstance(cause, TimeoutError):
        return "timed out waiting for the answer"
    said = f"{type(cause).__name__}: {str(cause).rsplit('>: ', 1)[-1]}"
    return f"TLS failed: {said}" if isinstance(error, requests.exceptions.SSLError) else said
