"""The conformance kit's fault table, starts, cancels and batches, for the services of this package."""

from airflow_provider_flowruns.testing.conformance import (
    BatchTests,
    CancelTests,
    FaultTests,
    StartTests,
    build_test_classes,
)
from tests.adapters import ADAPTERS

globals().update(build_test_classes(*ADAPTERS, parts=(FaultTests, StartTests, CancelTests, BatchTests)))
