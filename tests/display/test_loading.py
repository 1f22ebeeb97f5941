"""The display of a load, on a shell that only remembers what it was told."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from rocm_core.display import loading
from rocm_core.display.loading import load_display
from rocm_core.errors import ServerStartError


class Shell:
    """A kernel's shell, whose frontend may ask for input or not."""

    kernel = object()

    def __init__(self, asks: bool = True) -> None:
        self.shown: list[tuple[str, bool]] = []
        self.names: set[str] = set()
        self.display_pub = self
        self._asks = asks

    def get_parent(self) -> dict[str, Any]:
        return {"content": {"allow_stdin": self._asks}}

    def publish(self, data: dict[str, str], *, transient: dict[str, str], update: bool) -> None:
        self.shown.append((data["text/plain"], update))
        self.names.add(transient["display_id"])


def running(monkeypatch: pytest.MonkeyPatch, shell: Any) -> Any:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    return shell


def test_a_quick_load_shows_its_last_line_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = running(monkeypatch, Shell())
    with load_display("key", "demo") as shown:
        assert shown is not None
        shown.loaded(["4096 tokens of context", "CPU"])
    ((text, update),) = shell.shown
    assert text.startswith("demo · 4096 tokens of context · CPU · loaded in ") and not update


def test_a_slow_one_shows_stage_share_and_seconds_in_one_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loading, "_PATIENCE", 0.01)
    monkeypatch.setattr(loading, "_TICK", 0.01)
    shell = running(monkeypatch, Shell())

    def wait_for(word: str) -> None:
        end = time.monotonic() + 10
        while not any(word in text for text, _ in shell.shown):
            assert time.monotonic() < end
            time.sleep(0.01)

    with load_display("key", "demo") as shown:
        assert shown is not None
        wait_for("starting demo")
        shown.progress(0.4)
        wait_for("loading demo 40 %")
        shown.progress(1.0)
        wait_for("getting ready demo")
    assert [update for _, update in shell.shown] == [False] + [True] * (len(shell.shown) - 1)
    assert len(shell.names) == 1 and shell.shown[-1][0].startswith("demo: loaded in")


def test_a_load_that_fails_says_so_and_the_error_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = running(monkeypatch, Shell())
    with pytest.raises(ServerStartError), load_display("key", "demo"):
        raise ServerStartError("no")
    assert shell.shown[0][0].startswith("demo: not loaded (ServerStartError)")


def test_a_second_caller_of_one_load_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = running(monkeypatch, Shell())
    with load_display("key", "demo") as first, load_display("key", "demo") as second:
        assert first is not None and second is None
    with load_display("key", "demo") as third:
        assert third is not None
    assert len(shell.shown) == 2


def test_nothing_is_shown_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    for shell in (None, Shell(asks=False), SimpleNamespace(kernel=None)):
        running(monkeypatch, shell)
        with load_display("key", "demo") as shown:
            assert shown is None


def test_ipython_in_a_terminal_gets_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running(monkeypatch, SimpleNamespace(kernel=None))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with load_display("key", "demo\x1b[2J") as shown:
        assert shown is not None
    printed = capsys.readouterr().err
    assert printed.startswith("\r\x1b[Kdemo\\x1b[2J: loaded in") and printed.endswith(" s\n")
