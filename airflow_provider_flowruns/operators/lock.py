"""One start at a time, where a service does not say which run a start became."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def one_at_a_time(*names: str) -> Generator[None]:
    """
    Hold a lock that all tasks of this machine's user share; it ends with the process that holds it.

    :param names: what the lock is about.
    """
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:32]
    path = Path(tempfile.gettempdir()) / f"flowruns-{os.getuid()}-{digest}.lock"
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
