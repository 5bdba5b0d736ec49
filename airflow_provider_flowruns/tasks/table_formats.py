"""The formats in which the rows of a table are written."""

from __future__ import annotations

from typing import get_args

from airflow_provider_flowruns.model.choices import RowFormat
from airflow_provider_flowruns.model.errors import InvalidArgumentError

#: The formats in which rows are written, by their names and the suffixes of their files.
FORMATS: tuple[RowFormat, ...] = get_args(RowFormat)


def require_parquet() -> None:
    """Check that Parquet files can be written here.

    :raises InvalidArgumentError: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise InvalidArgumentError(
            "format 'parquet' needs pyarrow: pip install 'airflow-provider-flowruns[parquet]'"
        ) from None
