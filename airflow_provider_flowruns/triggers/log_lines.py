"""Log from the triggerer's event loop without holding it up.

The lines of all triggers go through one pipe, which the triggerer's supervisor reads a few kilobytes at a time. A full
pipe holds up whoever writes. If that was the event loop, it would not read what the supervisor sends it meanwhile; once
that is more than fits into the socket, the supervisor waits for the event loop, and both wait forever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

#: One thread keeps the order of the lines, and leaves those of asyncio's own executor to Airflow and to DNS.
_writer = ThreadPoolExecutor(1, thread_name_prefix="flowruns-log")


async def log_in_thread(write: Callable[..., object], *arguments: object) -> None:
    """Write lines in another thread, and return when they are written.

    Airflow finds the log of a trigger by the context, so the thread gets that of the caller.

    :param write: writes the lines; called with the further arguments.
    """
    await asyncio.get_running_loop().run_in_executor(_writer, copy_context().run, write, *arguments)
