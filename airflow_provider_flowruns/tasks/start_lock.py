"""One start at a time, where a service does not say which run a start became."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path


class StartLockTimeout(Exception):
    """Other tasks held the lock for all of the time that there was to wait for it."""


@contextmanager
def one_at_a_time(*names: str, timeout: float) -> Generator[str | None]:
    """Hold a lock of some name that all tasks of this machine's user share; it ends with the process that holds it.

    Yields None while the lock is held, or in words why there is none: no folder for its file, or none that can lock.

    :param timeout: seconds to wait for it.
    :raises StartLockTimeout: other tasks held it for all that time.
    """
    from filelock import FileLock  # takes a tenth of a second to import

    with ExitStack() as held:
        problem = None
        try:
            held.enter_context(FileLock(_lock_file(names), timeout=max(0.0, timeout), mode=0o600))
        except TimeoutError:
            raise StartLockTimeout from None
        # Older releases of filelock raise NotImplementedError on a file system without locks. The caller warns and
        # starts the flow without one: runs that it cannot tell from its own are all waited for.
        except (OSError, NotImplementedError) as error:
            problem = f"{type(error).__name__}: {error}"
        yield problem


def _lock_file(names: tuple[str, ...]) -> Path:
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:32]
    path = Path(tempfile.gettempdir()) / f"flowruns-{os.getuid()}-{digest}.lock"
    # A file that cannot be opened would be waited for as if another task held it.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    return path
