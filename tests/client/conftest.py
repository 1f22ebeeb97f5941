"""Fixtures of the client's tests: a scripted server, and either kind of client."""

from __future__ import annotations

import pytest

from tests.support.servers.asking import Ask, ask_async, ask_sync
from tests.support.servers.fake_server import STALL, FakeServer, stream


@pytest.fixture
def server(scripted: FakeServer) -> FakeServer:
    """No real engine is needed here: what it answers, each test says."""
    return scripted


@pytest.fixture
def endless(server: FakeServer) -> FakeServer:
    """A server whose completion never ends after its first event."""
    server.script("/completion", stream("completion_stream.b11434", STALL))
    return server


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Call one method of a new client, of either kind; streams are read to their end."""
    chosen: Ask = request.param
    return chosen
