"""Tracebacks for readers of a notebook, without IPython."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from langchain_rocm import errors as langchain
from rocm_core.display import traceback
from rocm_core.errors import RocmError, ServerStartError


def lines(error: BaseException) -> list[str]:
    return [re.sub(r"\x1b\[[\d;]+m", "", line) for line in error._render_traceback_()]  # type: ignore[attr-defined]


def raised(error: RocmError) -> RocmError:
    with pytest.raises(RocmError) as caught:
        raise error
    return caught.value


def test_cause_and_remedy_stand_alone_unless_the_message_has_them() -> None:
    error = raised(
        ServerStartError(
            "it exited with code 1. Cause: no memory",
            command=("llama-server", "-m", "x"),
            log_tail=("one", "two"),
            cause="no memory",
            remedy="a smaller context",
        )
    )
    shown = lines(error)
    assert shown[0] == "ServerStartError"
    assert sum("no memory" in line for line in shown) == 1
    assert "Remedy: a smaller context" in shown
    assert shown.index("Command: llama-server -m x") < shown.index("  one") < shown.index("  two")


def test_only_the_reader_s_own_lines_are_named() -> None:
    shown = lines(raised(RocmError("no")))
    places = [line for line in shown if ", line " in line]
    assert len(places) == 1 and places[0].endswith("raise error")


def test_an_error_of_the_adapter_is_shown_alike() -> None:
    assert lines(raised(langchain.twin_of(RocmError("no"))))[0] == "UncategorizedError"


def test_another_mode_of_ipython_shows_all(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def structured(*arguments: Any, **_: Any) -> list[str]:
        asked.append(arguments)
        return ["everything"]

    tb = SimpleNamespace(mode="Verbose", structured_traceback=structured)
    shell = SimpleNamespace(InteractiveTB=tb)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert lines(raised(RocmError("no"))) == ["everything"] and asked
    stop = KeyboardInterrupt()
    traceback.short_for_interrupt(stop)
    assert lines(stop) == ["everything"]


def test_colors_are_left_out_where_they_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = SimpleNamespace(InteractiveTB=SimpleNamespace(mode="Context"), colors="nocolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" in "".join(raised(RocmError("no"))._render_traceback_())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert "\x1b" not in "".join(raised(RocmError("no"))._render_traceback_())


def test_an_interrupt_is_told_in_two_lines_and_its_place() -> None:
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt as error:
        traceback.short_for_interrupt(error)
        first, place, more = lines(error)
    assert first == "KeyboardInterrupt: the request was stopped"
    assert "raise KeyboardInterrupt" in place and "%xmode" in more
