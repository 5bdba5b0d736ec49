"""Limits of what is read from a service."""

from __future__ import annotations

#: Largest number of rows, also of a sum: Airflow's channels carry integers of 64 bits, JSON's readers 53 bits exactly.
MAX_COUNT = 2**53 - 1
#: Maximum length of names and statuses; longer ones are cut.
MAX_NAME_CHARS = 200
