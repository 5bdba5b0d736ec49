"""Counted nouns, as log lines and error texts have them."""

from __future__ import annotations


def format_count(number: float, noun: str, plural: str | None = None) -> str:
    """Return a number and what it counts, such as ``1 row`` or ``1,500 rows``.

    :param number: the number; it may have decimals, as a median does.
    :param noun: what is counted, in the singular.
    :param plural: its plural, where that is not the noun with an ``s``.
    """
    shown = f"{number:,}" if isinstance(number, int) else f"{number:,.10g}"
    return f"{shown} {choose_form(number, noun, plural)}"


def choose_form(number: float, noun: str, plural: str | None = None) -> str:
    """Return the singular or the plural of a noun.

    :param number: how many there are.
    :param noun: the singular.
    :param plural: the plural, where that is not the noun with an ``s``.
    """
    return noun if number == 1 else plural or f"{noun}s"
