"""Cut JSON values to a size. No I/O.

Sizes are those of ``json.dumps``: ASCII, with a space after each comma and colon. No other encoding of JSON in use is
larger. The time that cutting takes depends on the size that is left, not on that of the value.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from json.encoder import encode_basestring_ascii
from typing import Any

from airflow_provider_flowruns.model.clean import clean_text

#: Smallest size that can be asked for: any constant fits.
MIN_BYTES = 5
#: Objects and lists nested deeper than this are left out.
MAX_LEVELS = 20
#: Marks the end of a text that was cut.
_DOTS = "..."
#: Largest integer that Airflow's channels carry.
_MAX_INTEGER = 2**63 - 1
#: Longer integers are left out; shorter ones that are too large become text.
_MAX_INTEGER_BITS = 400


def clip_json(value: Any, max_bytes: int, omitted_keys: Collection[str] = ()) -> tuple[Any, bool]:
    """Return a JSON value that takes at most ``max_bytes``, and whether anything was cut for that.

    Long texts lose their end, lists their last items, and objects what their members have in excess of half the bytes
    that are left, so that a large member does not displace those after it. What is not JSON becomes None.

    :param value: the value, as JSON was parsed.
    :param max_bytes: maximum size, at least :data:`MIN_BYTES`.
    :param omitted_keys: members of these names are left out wherever they are; that does not count as cut.
    """
    whole = _Clipper(omitted_keys, is_fair=False)
    clipped, _ = whole.clip(value, max_bytes, MAX_LEVELS)
    if not whole.is_cut:
        return clipped, False
    clipped, _ = _Clipper(omitted_keys, is_fair=True).clip(value, max_bytes, MAX_LEVELS)
    return clipped, True


def clip_text(text: str, max_bytes: int) -> tuple[str, bool]:
    """Return a text that takes at most ``max_bytes`` of JSON, and whether it was cut.

    :param text: the text.
    :param max_bytes: maximum size with its quotes, at least :data:`MIN_BYTES`.
    """
    begun = clean_text(text[:max_bytes])
    if len(begun) == len(text) and _measure_text(begun) <= max_bytes:
        return begun, False
    shortest, longest = 0, min(len(begun), max_bytes - len(_DOTS) - 2)
    while shortest < longest:
        middle = (shortest + longest + 1) // 2
        if _measure_text(begun[:middle]) + len(_DOTS) <= max_bytes:
            shortest = middle
        else:
            longest = middle - 1
    return begun[:shortest] + _DOTS, True


def measure_json(value: Any) -> int:
    """Return the size of a small JSON value in bytes."""
    import json

    return len(json.dumps(value))


def _measure_text(text: str) -> int:
    return len(encode_basestring_ascii(text))


class _Clipper:
    """Copies a value as far as it fits.

    :param omitted_keys: names of members to leave out.
    :param is_fair: a member that is followed by others may take at most half of the bytes that are left.
    """

    def __init__(self, omitted_keys: Collection[str], *, is_fair: bool) -> None:
        self.is_cut = False
        self._omitted_keys = omitted_keys
        self._is_fair = is_fair

    def clip(self, value: Any, room: int, levels: int) -> tuple[Any, int]:
        """Return what of a value fits, and its size.

        :param value: the value.
        :param room: maximum size, at least :data:`MIN_BYTES`.
        :param levels: number of levels of objects and lists that are left.
        """
        if isinstance(value, str):
            clipped, is_cut = clip_text(value, room)
            self.is_cut |= is_cut
            return clipped, _measure_text(clipped)
        if value is None or isinstance(value, bool):
            return value, len("false" if value is False else "null")
        if isinstance(value, int | float):
            return self._clip_number(value, room)
        if isinstance(value, Mapping) and levels:
            return self._clip_object(value, room, levels - 1)
        if isinstance(value, list | tuple) and levels:
            return self._clip_list(value, room, levels - 1)
        return self._leave_out()

    def _leave_out(self) -> tuple[None, int]:
        self.is_cut = True
        return None, len("null")

    def _clip_number(self, value: float, room: int) -> tuple[Any, int]:
        if isinstance(value, float):
            # JSON has neither NaN nor infinity.
            number: Any = float(value) if math.isfinite(value) else None
        elif value.bit_length() > _MAX_INTEGER_BITS:
            return self._leave_out()
        else:
            number = int(value) if abs(value) <= _MAX_INTEGER else str(int(value))
        size = len("null" if number is None else repr(number))
        return (number, size) if size <= room else self._leave_out()

    def _clip_list(self, items: Collection[Any], room: int, levels: int) -> tuple[list[Any], int]:
        kept: list[Any] = []
        size = 0  # as many separators as items stand for the brackets and the separators between them
        for item in items:
            if size + MIN_BYTES + len(", ") > room:
                self.is_cut = True
                break
            clipped, taken = self.clip(item, room - size - len(", "), levels)
            kept.append(clipped)
            size += taken + len(", ")
        return kept, max(size, len("[]"))

    def _clip_object(self, members: Mapping[str, Any], room: int, levels: int) -> tuple[dict[str, Any], int]:
        kept: dict[str, Any] = {}
        size = 0
        for number, (key, value) in enumerate(members.items(), 1):
            room_for_key = room - size - len(": , ") - MIN_BYTES
            if room_for_key < MIN_BYTES:
                self.is_cut = True
                break
            # A key that is left out takes its bytes nevertheless, or a million of them would be looked at.
            size += MIN_BYTES
            if key in self._omitted_keys:
                continue
            clean, key_size = self._clip_key(key, room_for_key)
            if clean is None:
                continue
            left = room - size + MIN_BYTES - key_size - len(": , ")
            share = max(MIN_BYTES, left // 2) if self._is_fair and number < len(members) else left
            clipped, taken = self.clip(value, share, levels)
            kept[clean] = clipped
            size += key_size + len(": , ") + taken - MIN_BYTES
        return kept, max(size, len("{}"))

    def _clip_key(self, key: Any, room: int) -> tuple[str | None, int]:
        """Return a key and its size; None if it has to be left out: cut, it could be equal to another one."""
        if isinstance(key, str) and len(key) < room:
            clean = clean_text(key)
            size = _measure_text(clean)
            if size <= room:
                return clean, size
        self.is_cut = True
        return None, 0
