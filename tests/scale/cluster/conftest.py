"""A Ray cluster of several nodes on this machine, for the whole session."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scale.cluster.support import Machines, Served, serving

pytest.importorskip("ray")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here starts a cluster; Ray closes few of its files before the interpreter ends."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("ray")
            item.add_marker("engine")
            item.add_marker("slow")
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            item.add_marker(pytest.mark.timeout(120))


@pytest.fixture(scope="session")
def machines() -> Iterator[Machines]:
    """A head and four nodes with one CPU each."""
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    machines = Machines(4)
    try:
        yield machines
    finally:
        machines.shutdown()
        for number, handler in before:  # Ray puts its own there
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def three(machines: Machines) -> Iterator[Served]:
    """Three replicas of the reciter, each on a node of its own; one node is to spare."""
    with serving(replicas=3) as served:
        yield served
