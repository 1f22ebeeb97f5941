"""The corpus: each log has exactly one winner, the right one; runs that went well have none."""

from __future__ import annotations

import pytest

from rocm_core.diagnosis.explain import explain_failure
from rocm_core.diagnosis.failure import Failure
from tests.support.failure_logs import FailureLog, failure_logs, healthy_logs

FAILURES = failure_logs()
HEALTHY = healthy_logs()


def explained(log: FailureLog) -> Failure | None:
    return explain_failure(log.lines, log.returncode, log.environment, log.kernel_log or None)


@pytest.mark.parametrize("log", FAILURES, ids=lambda log: f"{log.file}-{log.source}")
def test_a_failure_has_its_cause(log: FailureLog) -> None:
    failure = explained(log)
    assert failure is not None
    assert failure.name == log.name
    assert "{" not in failure.cause + failure.remedy


@pytest.mark.parametrize("log", FAILURES, ids=lambda log: f"{log.file}-{log.source}")
def test_no_order_of_two_failures_is_an_accident(log: FailureLog) -> None:
    failure = explained(log)
    assert failure is not None
    assert not [other for other in failure.alternatives if "listed first" in other.why]


@pytest.mark.parametrize("log", HEALTHY, ids=lambda log: f"{log.file}-{log.source}")
def test_a_run_that_went_well_has_no_cause(log: FailureLog) -> None:
    assert explained(log) is None


def test_the_corpus_is_as_large_as_it_says() -> None:
    assert len(FAILURES) >= 400
    assert len({log.name for log in FAILURES}) >= 100
    assert len(HEALTHY) >= 80
