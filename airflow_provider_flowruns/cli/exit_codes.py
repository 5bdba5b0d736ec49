"""Exit codes of all commands, as documented in ``docs/cli.md``."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit code says."""

    #: Done; for ``watch``: the run succeeded; for ``doctor``: no check failed.
    OK = 0
    #: The connection, the service or the machine does not allow it; for ``doctor``: a check failed.
    ERROR = 1
    #: An argument is invalid.
    USAGE = 2
    #: ``watch``: the run failed.
    FAILED = 3
    #: ``watch``: the run was cancelled.
    CANCELED = 4
    #: ``watch``: the run did not end within ``--timeout``.
    TIMED_OUT = 5
    #: ``watch``: the run could not be observed; it may still be in progress.
    UNOBSERVABLE = 6
    #: Stopped by Ctrl-C.
    INTERRUPTED = 130
