"""Write many records as JSON lines, in constant memory."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

#: Number of lines that are written at a time.
_LINES_PER_WRITE = 500
#: Number of new objects that triggers a garbage collection while a file is written: those of a few pages.
_GC_THRESHOLD = 50_000


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    :param count: number of lines.
    :param size: number of bytes.
    """

    count: int
    size: int


def write_json_lines(records: Iterable[Any], file: BinaryIO) -> Written:
    """Write records as JSON lines.

    :param records: plain JSON values, which are read as they are written.
    :param file: a binary file.
    """
    import msgspec

    encoder = msgspec.json.Encoder()
    count = size = 0
    remaining: Iterator[Any] = iter(records)
    with collect_garbage_less_often():
        while batch := list(islice(remaining, _LINES_PER_WRITE)):
            data = encoder.encode_lines(batch)
            file.write(data)
            size += len(data)
            count += len(batch)
    return Written(count, size)


@contextmanager
def collect_garbage_less_often() -> Generator[None]:
    """Collect garbage less often.

    Reference counting frees the thousands of objects of a page. By default the garbage collector traverses them some
    twenty times per page, which takes about as long as reading them: 100,000 attempts take 6.0 s of CPU instead of 3.2.
    """
    youngest, *older = gc.get_threshold()
    gc.set_threshold(youngest and max(youngest, _GC_THRESHOLD), *older)  # 0: automatic collection is disabled
    try:
        yield
    finally:
        gc.set_threshold(youngest, *older)
