"""What the conformance kit refuses: adapters with which its tests would show less than they seem to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_flowruns.testing.conformance import build_test_classes
from tests.adapters import PORTABLE, TABLEFLOW


def test_an_operator_needs_the_path_of_its_starts() -> None:
    with pytest.raises(ValueError, match="operator needs start_path"):
        replace(PORTABLE, start_path="")


def test_the_tests_of_one_adapter_do_not_replace_those_of_another() -> None:
    assert len(build_test_classes(PORTABLE, TABLEFLOW)) == 2 * len(build_test_classes(PORTABLE))
    with pytest.raises(ValueError, match="each adapter must be for another service, got Portable, Portable"):
        build_test_classes(PORTABLE, PORTABLE)
