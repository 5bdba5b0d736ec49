"""What users may pass to calls of a service agrees with what the service's module reads."""

from __future__ import annotations

from airflow_provider_flowruns.services import activepieces, activepieces_arguments, tableflow, tableflow_arguments


def test_a_filter_may_name_every_status_that_is_read_and_no_other() -> None:
    assert {*activepieces._ACTIVE, *activepieces._ENDED} == activepieces_arguments.STATUSES
    assert {*tableflow._STATES} == tableflow_arguments.STATUSES
