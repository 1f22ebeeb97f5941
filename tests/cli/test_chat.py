"""``llama-rocm chat`` with a model that thinks first, and with none."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from rocm_core.cli import main
from tests.support.servers.fake_server import FakeServer
from tests.support.servers.scripts import chat, say, script, sent, think

COMMAND = [sys.executable, "-c", "from rocm_core.cli import main; raise SystemExit(main())"]


@pytest.fixture
def thinker(scripted: FakeServer) -> FakeServer:
    script(scripted, chat(think("The user says hello."), say("Hi there [b]you[/b]")))
    return scripted


def test_stdout_is_the_answer_alone(
    thinker: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chat", "Hello", "-m", thinker.url]) == 0
    out, err = capsys.readouterr()
    assert out == "Hi there [b]you[/b]\n"
    thought, line, speed = err.splitlines()
    assert thought == "The user says hello."
    assert set(line) == {"─"}
    assert speed.startswith("[21 prompt + 7 answer tokens")


def test_in_a_terminal_the_thought_is_dim_and_above_a_line(thinker: FakeServer) -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execv(sys.executable, [*COMMAND, "chat", "Hello", "-m", thinker.url])
    seen = b""
    while b"answer tokens" not in seen:
        seen += os.read(terminal, 65536)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(terminal)
    screen = seen.decode()
    dim, reset = re.escape("\x1b[2m"), re.escape("\x1b[0m")
    assert re.search(rf"{dim}The{reset}{dim} user{reset}", screen)
    plain = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", screen)
    assert re.search(r"The user says hello\.\r\n─{20,}\r\nHi there \[b\]you", plain)


def test_a_thought_is_no_part_of_the_conversation(
    thinker: FakeServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = iter(["Hello", "Again", "/exit"])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    assert main(["chat", "-m", thinker.url]) == 0
    assert capsys.readouterr().err.count("─\n") == 2
    assert [m["content"] for m in sent(thinker)[1]["messages"]] == [
        "Hello",
        "Hi there [b]you[/b]",
        "Again",
    ]


def test_an_answer_without_a_thought_has_no_line(
    scripted: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    script(scripted, chat(say("Hi")))
    assert main(["chat", "Hello", "-m", scripted.url]) == 0
    assert "─" not in capsys.readouterr().err


@pytest.mark.engine
def test_without_a_model_the_demo_answers_and_says_what_it_is() -> None:
    done = subprocess.run([*COMMAND, "chat", "Hello"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert done.stderr.startswith("no model given: this is the bundled demo")


def test_a_model_of_the_settings_is_no_demo(
    thinker: FakeServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_URL", thinker.url)
    assert main(["chat", "Hello"]) == 0
    out, err = capsys.readouterr()
    assert "demo" not in err
    assert out == "Hi there [b]you[/b]\n"
