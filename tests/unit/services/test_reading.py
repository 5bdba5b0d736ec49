"""The conformance kit's tests of reading, for the services of this package."""

from airflow_provider_flowruns.testing.conformance import ReadingTests, build_test_classes
from tests.adapters import ADAPTERS

globals().update(build_test_classes(*ADAPTERS, parts=(ReadingTests,)))
