"""Count the rows of a CSV file while it passes, without reading its values."""

from __future__ import annotations


class CsvRowCounter:
    """Counts the rows of a CSV file that comes in pieces of any size; the first line is the header."""

    def __init__(self) -> None:
        self._line_ends = 0
        self._is_in_quotes = False
        self._is_line_open = False

    def add(self, piece: bytes) -> None:
        """Count the line ends in the next piece that are no part of a value.

        :param piece: the next bytes of the file.
        """
        if not piece:
            return
        # A quote within a value is written twice, so it opens what it closed: each quote just changes the side.
        sections = piece.split(b'"')
        outside = sections[1::2] if self._is_in_quotes else sections[::2]
        self._line_ends += b"".join(outside).count(b"\n")
        self._is_in_quotes ^= len(sections) % 2 == 0
        self._is_line_open = self._is_in_quotes or not piece.endswith(b"\n")

    @property
    def rows(self) -> int:
        """Number of rows so far, a last one without a line end included."""
        return max(0, self._line_ends + self._is_line_open - 1)

    @property
    def is_cut(self) -> bool:
        """Whether the file ends within a value."""
        return self._is_in_quotes
