"""The conformance kit's parity table and guards, for the services of this package."""

from airflow_provider_flowruns.testing.conformance import FreshnessTests, ParityTests, build_test_classes
from tests.adapters import ADAPTERS

globals().update(build_test_classes(*ADAPTERS, parts=(ParityTests, FreshnessTests)))
