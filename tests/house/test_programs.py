"""The programs that tests start: what is told of one that hangs, and of one that ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.support.programs import Program

_HANGS = """
import sys, threading
def in_a_thread():
    threading.Event().wait()
def waits_for_its_turn():
    threading.Thread(target=in_a_thread, daemon=True).start()
    print("begun", flush=True)
    sys.stdin.readline()
waits_for_its_turn()
"""


def test_of_one_that_hangs_the_stacks_of_all_threads_are_told(
    start: Callable[..., Program],
) -> None:
    program = start(_HANGS, "tenth")
    assert program.line() == "begun"
    with pytest.raises(AssertionError, match=r"program tenth \(pid \d+\) printed nothing") as told:
        program.line(patience=0.01)
    assert "in waits_for_its_turn" in str(told.value)
    assert "in in_a_thread" in str(told.value)
    assert program.process.returncode == -signal.SIGABRT


def test_of_one_that_ends_its_last_words_are_told(start: Callable[..., Program]) -> None:
    program = start("print('a line'); raise SystemError('so long')")
    assert program.line() == "a line"
    for _ in range(2):
        with pytest.raises(AssertionError, match="ended: (.|\n)*SystemError: so long"):
            program.line()


def test_one_that_is_suspended_does_not_hold_the_test_up(
    start: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.programs._LAST_WORDS", 0.2)
    program = start(_HANGS)
    program.line()
    os.kill(program.pid, signal.SIGSTOP)
    with pytest.raises(AssertionError, match="printed nothing"):
        program.line(patience=0.01)
    assert program.process.returncode == -signal.SIGKILL
