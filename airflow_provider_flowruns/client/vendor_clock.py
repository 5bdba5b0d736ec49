"""Measure the offset of a vendor's clock by the ``Date`` header of its responses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache

#: ``Date`` has whole seconds, so the vendor's time is within this many seconds after it.
_DATE_RESOLUTION_SECONDS = 1.0
#: Offsets up to this many seconds are measurement noise and count as none.
MIN_OFFSET_SECONDS = 2.0
#: Offsets above this many seconds cause a warning.
WARN_OFFSET_SECONDS = 60.0


class VendorClock:
    """Offset of a vendor's clock from the local one: positive when the vendor is ahead.

    Belongs to the client of a connection. The newest measurement counts, so a corrected clock takes effect.
    """

    __slots__ = ("_bounds", "_is_warning_due", "offset_seconds")

    def __init__(self) -> None:
        #: Seconds to add to a local Unix time to get the vendor's; 0.0 until measured, and for offsets within noise.
        self.offset_seconds = 0.0
        #: Between these two lies the true offset; None until measured.
        self._bounds: tuple[float, float] | None = None
        self._is_warning_due = True

    def measure(self, headers: Mapping[str, str], sent_at: float, received_at: float) -> None:
        """Measure the offset on a response; one without a usable ``Date``, or from a cache, changes nothing.

        :param headers: the response's headers, found by their names in lower case.
        :param sent_at: Unix time at which the request was sent.
        :param received_at: Unix time at which the response's headers had arrived.
        """
        vendor_time = _parse_date(headers.get("date", ""))
        if vendor_time is None or headers.get("age", "0").strip() != "0":
            return
        # The vendor wrote its time somewhere between sending and receiving.
        earliest = vendor_time - received_at
        latest = vendor_time + _DATE_RESOLUTION_SECONDS - sent_at
        offset = (earliest + latest) / 2
        is_noise = earliest - MIN_OFFSET_SECONDS <= 0.0 <= latest + MIN_OFFSET_SECONDS
        self.offset_seconds = 0.0 if is_noise else offset
        self._bounds = earliest, latest

    def range_at(self, local_time: float) -> tuple[float, float] | None:
        """Return the earliest and latest time that the vendor's clock can show at a local time; None until measured.

        :param local_time: Unix time on this machine's clock.
        """
        if self._bounds is None:
            return None
        earliest, latest = self._bounds
        return local_time + earliest, local_time + latest

    def warning(self) -> str | None:
        """Return the text of a warning the first time the offset is above a minute, else None."""
        if not self._is_warning_due or abs(self.offset_seconds) <= WARN_OFFSET_SECONDS:
            return None
        self._is_warning_due = False
        direction = "ahead of" if self.offset_seconds > 0 else "behind"
        return (
            f"the service's clock is {abs(self.offset_seconds):.0f} s {direction} this machine's; "
            "times are compared in the service's own time, check which of the two clocks is wrong"
        )


@lru_cache(maxsize=16)  # responses that arrive within a second have the same date
def _parse_date(value: str) -> float | None:
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
