"""How a call travels from a worker: requests, one kept-alive session."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from threading import Thread
from types import TracebackType
from typing import Any, Self, TypeVar

import requests
import urllib3
from requests_toolbelt import MultipartEncoder
from tenacity import Retrying

from airflow_provider_flowruns.client.policy import ONCE, RetryPolicy, Walk, headers_for, no_answer, result_of
from airflow_provider_flowruns.client.settings import Settings
from airflow_provider_flowruns.client.vendor_clock import VendorClock
from airflow_provider_flowruns.services.errors import ApiError, InvalidRequest
from airflow_provider_flowruns.services.model import Call, FlowRun, Pages, Part, Request, Response, Steps, Target

T = TypeVar("T")

_CHUNK = 64 * 1024


class _Headers(requests.auth.AuthBase):
    """Sets the headers last, so that a netrc entry for the host cannot replace the token."""

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


class SyncClient:
    """
    Sends the calls of one connection, one after the other, over a session that is kept alive.

    :param settings: where and how to reach the service.
    :param retry: how an idempotent request is repeated.
    """

    def __init__(self, settings: Settings, retry: RetryPolicy | None = None) -> None:
        self.settings = settings
        self.vendor_clock = VendorClock()
        self._retry = retry or RetryPolicy()
        self._session = requests.Session()

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
        """
        Send a call and return what its answer says.

        :param call: what to ask, and how to read the answer.
        :param retry: instead of the client's own policy.
        :raises ApiError: there was no usable answer; the subclass says why.
        """
        policy = retry or self._retry
        result: T = Retrying(**policy.arguments(call.request))(self._send_once, call)
        return result

    def run(self, steps: Steps[T], retry: RetryPolicy | None = None) -> T:
        """
        Send the calls of some steps in turn and return their answer.

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
        walk = Walk(pages)
        while walk.call:
            try:
                page = self.send(walk.call)
            except InvalidRequest as error:
                walk.refused(error)
            else:
                yield from walk.take(page)

    def iterate_ahead(self, pages: Pages[T], most: int | None = None) -> Iterator[T]:
        """
        Yield the items of a list as :meth:`iterate` does, asking for each page while the one before is used up.

        Nothing else may be sent meanwhile.

        :param pages: the list, as a service's module describes it.
        :param most: items yielded at most, None for all; no page beyond them is asked for.
        """
        walk, left = Walk(pages), most
        answer = _in_background(self.send, walk.call) if walk.call else None
        while answer:
            fresh: list[T] = []
            try:
                fresh = walk.take(answer.result())[:left]
            except InvalidRequest as error:
                walk.refused(error)
            left = None if left is None else left - len(fresh)
            answer = _in_background(self.send, walk.call) if walk.call and left != 0 else None
            yield from fresh

    def look(self, target: Target) -> tuple[FlowRun, ...] | ApiError:
        """
        Look at a target once, without repeating anything: a wait has its own patience.

        :return: the runs seen, newest first, or the error that came instead.
        """
        try:
            return self.run(self.settings.service.look(target), ONCE)
        except ApiError as error:
            return error

    def _send_once(self, call: Call[T]) -> T:
        response = self._exchange(call.request)
        if isinstance(response, ApiError):
            raise response
        return result_of(self.settings, call, response)

    def _exchange(self, request: Request) -> Response | ApiError:
        """
        Send a request and return its response, or the error that came instead.

        The error is not raised here: it would hold this frame, and the other library's error, and with them the token.
        """
        settings, sent_at = self.settings, time.time()
        try:
            with (
                _multipart(request.parts) as body,
                self._session.request(
                    request.method,
                    settings.base_url + request.path,
                    params=list(request.query),
                    json=request.json,
                    data=body,
                    headers={"Content-Type": body.content_type} if body else None,
                    auth=_Headers(headers_for(settings, request)),
                    timeout=(settings.connect_timeout, settings.timeout),
                    verify=settings.verify,
                    proxies=dict(settings.proxies),
                    allow_redirects=False,
                    stream=True,
                ) as answer,
            ):
                headers = {name.lower(): value for name, value in answer.headers.items()}
                self.vendor_clock.measure(headers, sent_at, time.time())
                return Response(answer.status_code, headers, self._body(answer))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            return no_answer(settings, request, _reason(error), sent=_may_have_been_sent(error))

    def _body(self, answer: requests.Response) -> bytes:
        end = time.monotonic() + self.settings.timeout
        # requests bounds the silence between two bytes; a body that drips has to be bounded as a whole.
        chunks = []
        while chunk := answer.raw.read1(_CHUNK, decode_content=True):
            chunks.append(chunk)
            if time.monotonic() > end:
                raise requests.Timeout(f"the answer was not complete after {self.settings.timeout:g} s")
        return b"".join(chunks)


def _in_background(work: Callable[..., T], *arguments: Any) -> Future[T]:
    """Start a call in a thread that nobody has to wait for when its result is not wanted any more."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work(*arguments))
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, name="flowruns-next-page", daemon=True).start()
    return future


@contextmanager
def _multipart(parts: tuple[Part, ...]) -> Generator[MultipartEncoder | None]:
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
        yield MultipartEncoder(fields)


def _may_have_been_sent(error: Any) -> bool:
    chain = list(_chain(error))
    before_sending = requests.exceptions.ConnectTimeout, urllib3.exceptions.NewConnectionError, ssl.CertificateError
    return not any(isinstance(one, before_sending) for one in chain)


def _chain(error: Any) -> Iterator[BaseException]:
    while isinstance(error, BaseException):
        yield error
        reason = getattr(error, "reason", None)
        error = (
            reason
            if isinstance(reason, BaseException)
            else next((one for one in error.args if isinstance(one, BaseException)), None)
        )


def _reason(error: Any) -> str:
    """Say in a few words why there was no answer; requests' own text repeats the whole URL."""
    if isinstance(error, requests.exceptions.SSLError):
        return f"TLS failed: {_innermost(error)}"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy could not be reached or refused"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "no connection within the connect timeout"
    if isinstance(error, requests.exceptions.Timeout):
        return "timed out waiting for the answer"
    return _innermost(error)


def _innermost(error: Any) -> str:
    *_, last = _chain(error)
    cause = last.__cause__ if isinstance(last.__cause__, OSError) else last
    return f"{type(cause).__name__}: {_short(cause)}"


def _short(error: BaseException) -> str:
    text = str(error)
    return text.rsplit(">: ", 1)[-1]
