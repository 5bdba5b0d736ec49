"""A lock between the tasks of one machine, for services whose response to a start does not name the run."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path


class StartLockTimeout(Exception):
    """Other tasks held the lock during the whole timeout."""


@contextmanager
def hold_start_lock(*names: str, timeout: float) -> Generator[str | None]:
    """Hold a lock, named by texts, that all tasks of this machine's user share; it is released when the process ends.

    Yields None while the lock is held, otherwise the reason why there is no lock: its file cannot be created or locked.

    :param timeout: maximum number of seconds to wait for the lock.
    :raises StartLockTimeout: other tasks held it during the whole timeout.
    """
    from filelock import FileLock  # importing it takes a tenth of a second

    with ExitStack() as held:
        problem = None
        try:
            held.enter_context(FileLock(_create_lock_file(names), timeout=max(0.0, timeout), mode=0o600))
        except TimeoutError:
            raise StartLockTimeout from None
        # Older releases of filelock raise NotImplementedError on a file system without locks. The caller warns and
        # starts the flow without a lock: it then waits for all runs that may be its own.
        except (OSError, NotImplementedError) as error:
            problem = f"{type(error).__name__}: {error}"
        yield problem


def _create_lock_file(names: tuple[str, ...]) -> Path:
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:32]
    path = Path(tempfile.gettempdir()) / f"flowruns-{os.getuid()}-{digest}.lock"
    # filelock would wait for a file that it cannot open as if another task held it.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    return path
