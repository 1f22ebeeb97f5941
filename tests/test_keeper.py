"""What a keeper takes for a use of its server, without a server."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from rocm_core import LoadConfig, resolve_ref
from rocm_core.server import keeper as module
from rocm_core.server.control import Channel
from rocm_core.server.keeper import Keeper, Session
from rocm_core.server.registry import Registry
from tests.programs import PATIENCE, wait_for


def test_who_is_slow_to_answer_keeps_the_server_and_who_is_suspended_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ANSWERS", 0.05)
    keeper = Keeper(Registry(tmp_path), "0" * 16, resolve_ref("demo"), LoadConfig())
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert keeper.attach(Session(keeper, Channel(ours)), keep_alive=0.01)
        assert not keeper._nobody_needs_it()
        assert Channel(theirs).receive(PATIENCE) == {"ask": "idle", "limit": 0.01}
        assert not keeper._nobody_needs_it()
        monkeypatch.setattr(module, "_SUSPENDED", 0.0)
        wait_for(keeper._nobody_needs_it)
