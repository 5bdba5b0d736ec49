"""Draw a wait for the home page, from a real one: ``python -m tools.wait_picture`` writes ``docs/images/wait.svg``.

A deferrable sensor and its trigger wait for a run of the sandbox, which takes about a minute. The picture has the times
at which the sandbox got their requests and changed the status of the run, and lines of their log.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import pairwise
from pathlib import Path
from textwrap import wrap

from tools.wait_recording import Recording, record_wait

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "wait.svg"

#: The layout, in the units of the picture: small enough for a phone.
WIDTH, MARGIN, LABELS, TIME_WIDTH = 480, 14, 88, 34
FONT, LINE, LINE_CHARS = 13, 18, 50
LANE_TOP, LANE, BAR, MIN_BAR = 24, 32, 20, 4
AXIS = LANE_TOP + 3 * LANE + 14
LANES_HEIGHT = AXIS + 10
STATUS_COLORS = {"PENDING": "#7b879b", "RUNNING": "#2f7fd1", "SUCCEEDED": "#2c9c69"}
WORKER_COLOR = "#b98bea"


def draw(recording: Recording) -> str:
    """Return a picture of a wait as SVG. It has a dark background of its own, which light and dark pages can show."""
    end = max(at for at, _ in recording.lines)
    parts = [*_draw_lanes(recording, end), *_draw_log(recording, top=LANES_HEIGHT)]
    height = LANES_HEIGHT + LINE * sum(len(texts) for _, texts in _choose_lines(recording)) + MARGIN
    description = escape(". ".join(" ".join(texts) for _, texts in _choose_lines(recording)))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="640" viewBox="0 0 {WIDTH} {height}" role="img">',
            f"<title>A deferred task waits for a run</title><desc>{description}</desc>",
            f"<style>text {{ fill: #dbe4f0; font: {FONT}px sans-serif; }} .log {{ font-family: monospace; }} "
            ".quiet { fill: #93a1b5; } .end { text-anchor: end; } .middle { text-anchor: middle; }</style>",
            f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#16202e"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _draw_lanes(recording: Recording, end: float) -> Iterator[str]:
    def x(seconds: float) -> float:
        return round(LABELS + (WIDTH - LABELS - MARGIN) * min(seconds / (end + 2), 1.0), 1)

    def bar(lane: int, begin: float, until: float, color: str) -> str:
        width = round(max(x(until) - x(begin), MIN_BAR), 1)
        return (
            f'<rect x="{x(begin)}" y="{LANE_TOP + LANE * lane}" width="{width}" height="{BAR}" rx="3" fill="{color}"/>'
        )

    for lane, name in enumerate(("worker", "triggerer", "flow run")):
        yield f'<text x="{MARGIN}" y="{LANE_TOP + LANE * lane + BAR - 5}">{name}</text>'
    for seconds in range(0, int(end) + 1, 10):
        yield f'<path d="M{x(seconds)} {LANE_TOP - 6}V{AXIS - 12}" stroke="#2b3a50"/>'
        yield f'<text class="quiet middle" x="{x(seconds)}" y="{AXIS}">{seconds} s</text>'
    deferred_at = next(at for at, line in recording.lines if line.startswith("The triggerer"))
    yield bar(0, 0, deferred_at, WORKER_COLOR)
    yield bar(0, recording.polls[-1], end, WORKER_COLOR)
    yield f'<text class="quiet middle" x="{x(end / 2)}" y="{LANE_TOP + BAR - 5}">the slot is free</text>'
    yield f'<path d="M{x(deferred_at)} {LANE_TOP + LANE + BAR / 2}H{x(end)}" stroke="#4a5d78" stroke-width="2"/>'
    for at in recording.polls[1:]:
        yield f'<circle cx="{x(at)}" cy="{LANE_TOP + LANE + BAR / 2}" r="4.5" fill="#ffc857"/>'
    for (begin, status), (until, _) in pairwise([*recording.statuses, (end + 2, "")]):
        yield bar(2, begin, until, STATUS_COLORS[status])
        if x(until) - x(begin) > len(status) * FONT * 0.7:
            middle = (x(begin) + x(until)) / 2
            yield f'<text class="middle" x="{middle}" y="{LANE_TOP + LANE * 2 + BAR - 5}">{status}</text>'


def _draw_log(recording: Recording, top: int) -> Iterator[str]:
    y = top + LINE
    for at, texts in _choose_lines(recording):
        yield f'<text class="log quiet end" x="{MARGIN + TIME_WIDTH}" y="{y}">{at:.0f} s</text>'
        for text in texts:
            yield f'<text class="log" x="{MARGIN + TIME_WIDTH + 10}" y="{y}">{escape(text)}</text>'
            y += LINE


def _choose_lines(recording: Recording) -> list[tuple[float, list[str]]]:
    """Return the lines of the log about runs, without repetitions, each in pieces that fit."""
    first_times: dict[str, float] = {}
    for at, line in recording.lines:
        if line.startswith(("no fresh run", "run ")):
            first_times.setdefault(line, at)
    return [(at, wrap(line, LINE_CHARS)) for line, at in first_times.items()]


if __name__ == "__main__":
    PICTURE.write_text(draw(record_wait()), encoding="utf-8")
