"""Whole conversations in a pseudo-terminal, as a person has them."""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import Path

import pytest

from rocm_core.config import Engine
from tests.support.models.reciter import ANSWER, RECITER
from tests.support.servers.fake_server import FakeServer
from tests.support.servers.scripts import chat, say, script, sent
from tests.support.terminal import Terminal

COMMAND = [sys.executable, "-c", "from rocm_core.cli import main; raise SystemExit(main())"]
PROMPT = "\n>"
BEGIN = ANSWER.split(".")[0]
UP, CTRL_C, CTRL_D, ALT_ENTER, CTRL_R = "\x1b[A", "\x03", "\x04", "\x1b\r", "\x12"


class Session:
    """A conversation; every step waits for what it leads to."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self._prompts = 0
        self.ready()

    def ready(self) -> None:
        """Wait until the next message may be typed."""
        self._prompts += 1
        self.terminal.wait_for_prompt(PROMPT, self._prompts)

    def type(self, text: str) -> None:
        self.terminal.send(text + "\r")
        self.ready()

    def seen(self, text: str) -> int:
        return self.terminal.screen.count(text)


def conversation(*options: str, env: dict[str, str] | None = None) -> Terminal:
    return Terminal([*COMMAND, "chat", *options], env)


def test_a_session_from_the_first_question_to_bye(engine: Engine) -> None:
    with conversation("-m", RECITER, "--engine", engine) as terminal:
        session = Session(terminal)
        session.type("Hello")
        terminal.send(UP)
        session.type("")
        assert session.seen("> Hello") == session.seen(BEGIN) == 2
        session.type("/set ignore_eos true")
        terminal.send("And then?\r")
        terminal.wait_for(BEGIN, 3)
        terminal.send(CTRL_C)
        session.ready()
        assert session.seen("[stopped") == 1
        session.type("/set ignore_eos false")
        session.type("Once more")
        assert session.seen(BEGIN) >= 4
        session.type("/stats")
        assert "conversation   4 answers" in terminal.screen
        terminal.send("/bye\r")
        assert terminal.wait() == 0
        assert "Traceback" not in terminal.screen


@pytest.fixture
def talker(scripted: FakeServer) -> FakeServer:
    """A server with five answers to a conversation; the last one repeats."""
    script(scripted, *(chat(say(f"answer {number}")) for number in range(1, 6)))
    return scripted


def asked(server: FakeServer) -> list[str]:
    """What was asked so far, each question once."""
    return [request["messages"][-1]["content"] for request in sent(server)]


def test_several_lines_are_one_message_and_come_back_as_one(talker: FakeServer) -> None:
    with conversation("-m", talker.url) as terminal:
        session = Session(terminal)
        terminal.send('"""first\r')
        terminal.wait_for("\n...")
        terminal.send("second")
        session.type('"""')
        terminal.send("third" + ALT_ENTER)
        session.type("fourth")
        terminal.send(UP + UP + UP)
        session.type("")
        terminal.send("\x1b[200~fifth\nsixth\x1b[201~")
        session.type("")
        terminal.send(CTRL_D)
        assert terminal.wait() == 0
    several = "first\nsecond"
    assert asked(talker)[:2] == [several, "third\nfourth"]
    assert asked(talker)[3] == "fifth\nsixth"


def test_ctrl_c_drops_what_is_typed_and_says_how_to_end(talker: FakeServer) -> None:
    with conversation("-m", talker.url) as terminal:
        session = Session(terminal)
        terminal.send("never sent" + CTRL_C)
        session.ready()
        assert session.seen("(/bye or Ctrl-D ends)") == 1
        session.type("sent")
        terminal.send("/exit\r")
        assert terminal.wait() == 0
    assert asked(talker) == ["sent"]


@pytest.mark.slow
def test_earlier_sessions_are_remembered_unless_they_are_not_wanted(talker: FakeServer) -> None:
    history = Path(os.environ["XDG_STATE_HOME"]) / "llama-rocm/history"
    with conversation("-m", talker.url, "--no-history") as terminal:
        Session(terminal).type("a secret")
        terminal.send(CTRL_D)
        terminal.wait()
    assert not history.exists()
    with conversation("-m", talker.url) as terminal:
        Session(terminal).type("the first question")
        terminal.send(CTRL_D)
        terminal.wait()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    with conversation("-m", talker.url) as terminal:
        session = Session(terminal)
        terminal.send(UP)
        terminal.wait_for("the first question")
        session.type("")
        terminal.send(CTRL_D)
        terminal.wait()
    assert asked(talker) == ["a secret", "the first question", "the first question"]


def test_without_color_there_is_none(scripted: FakeServer) -> None:
    script(scripted, chat(say("**bold** and `code`\n\n```\nx = 1\n```\n")))
    for env, colored in (({}, True), ({"NO_COLOR": "1"}, False)):
        with conversation("Hi", "-m", scripted.url, env=env) as terminal:
            assert terminal.wait() == 0
            assert "bold and code" in terminal.screen
            answer = terminal.written.partition(b"bold")[2]
        assert bool(re.search(rb"\x1b\[[\d;]*3[0-7]m", answer)) == colored


def test_a_dumb_terminal_gets_plain_text(scripted: FakeServer) -> None:
    script(scripted, chat(say("**bold**")))
    with conversation("-m", scripted.url, env={"TERM": "dumb"}) as terminal:
        Session(terminal).type("Hi")
        terminal.send(CTRL_D)
        assert terminal.wait() == 0
        assert b"\x1b" not in terminal.written


def test_without_the_line_editor_a_conversation_is_plain_and_says_so(talker: FakeServer) -> None:
    program = (
        "import sys; sys.modules['prompt_toolkit'] = None; sys.argv[0] = 'llama-rocm'\n"
        "from rocm_core.cli import main; raise SystemExit(main())"
    )
    with Terminal([sys.executable, "-c", program, "chat", "-m", talker.url]) as terminal:
        session = Session(terminal)
        assert session.seen("pip install 'llama-rocm[chat]'") == 1
        session.type("Hello")
        terminal.send('"""first\r')
        terminal.wait_for("\n...")
        session.type('second"""')
        terminal.send("/bye\r")
        assert terminal.wait() == 0
    assert asked(talker) == ["Hello", "first\nsecond"]
