"""Values that users choose between."""

from __future__ import annotations

from typing import Literal, TypeAlias

#: What a paused run means.
OnPaused: TypeAlias = Literal["wait", "succeed", "fail", "skip"]
#: What a cancelled run means.
OnCanceled: TypeAlias = Literal["fail", "skip"]
#: What to do about a flow that is already running.
IfRunning: TypeAlias = Literal["wait", "join", "fail", "skip"]
#: What a table without rows means.
OnEmpty: TypeAlias = Literal["fail", "skip", "succeed"]
#: What a failed quality check means.
OnFailure: TypeAlias = Literal["fail", "warn"]
#: Format of a file with rows.
RowFormat: TypeAlias = Literal["jsonl", "parquet"]
#: Order of run attempts, by the time of creation.
SortOrder: TypeAlias = Literal["ASC", "DESC"]
#: From where a failed run is retried.
RetryStrategy: TypeAlias = Literal["FROM_FAILED_STEP", "ON_LATEST_VERSION"]
#: Status of a run, to filter a list by.
TableFlowStatus: TypeAlias = Literal["processing", "review", "completed", "failed"]
