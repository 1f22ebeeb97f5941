"""The command llama-rocm, as a user runs it, on both real engines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import psutil
import pytest

from rocm_core.config import Engine
from tests.support.models.reciter import ANSWER, RECITER
from tests.support.terminal import Terminal

COMMAND = [sys.executable, "-c", "from rocm_core.cli import main; raise SystemExit(main())"]


def run(*args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *args], input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


def test_one_prompt_streams_an_answer_and_says_how_fast(engine: Engine) -> None:
    done = run("chat", "Hello", "--model", "demo", "--engine", engine)
    assert done.returncode == 0
    assert done.stdout.strip()
    assert "tok/s" in done.stderr
    assert "TTFT" in done.stderr
    assert "loading" not in done.stderr, "no progress where there is no terminal"


def test_options_reach_the_model(engine: Engine) -> None:
    options = ("--engine", engine, "--max-tokens", "3", "--system", "x")
    done = run("chat", "Hi", "-m", RECITER, *options)
    assert done.stdout == "Hello! I am\n"


def test_a_conversation_from_a_pipe(engine: Engine) -> None:
    lines = "Hello\n\n/clear\nAgain\n/exit\nnever\n"
    done = run("chat", "-m", RECITER, "--engine", engine, "--max-tokens", "3", stdin=lines)
    assert done.returncode == 0
    assert done.stdout.count("Hello! I am") == 2


def test_a_failed_turn_does_not_end_the_conversation(engine: Engine) -> None:
    lines = "x" * 9000 + "\nHello\n"
    done = run("chat", "-m", RECITER, "--engine", engine, "--max-tokens", "3", stdin=lines)
    assert "context_len" in done.stderr
    assert "Hello! I am" in done.stdout


def test_errors_are_words_and_a_code_not_a_traceback() -> None:
    done = run("chat", "Hello", "--model", "gone.gguf")
    assert done.returncode == 1
    assert done.stderr.startswith("llama-rocm: no model 'gone.gguf'")
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_enough_ends_a_command_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, "config"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_ctrl_c_stops_the_answer_not_the_program(engine: Engine) -> None:
    """In a terminal: an endless answer, Ctrl-C, /exit."""
    with Terminal([*_endless(), "chat", "-m", RECITER, "--engine", engine]) as terminal:
        terminal.wait_for("\n>")
        terminal.send("Hello\n")
        terminal.wait_for("Hello!")
        terminal.send("\x03")
        terminal.wait_for("[stopped")
        terminal.send("/exit\n")
        assert terminal.wait() == 0


def _endless() -> list[str]:
    # The reciter ends its turns; an answer to interrupt needs it not to.
    program = (
        "from dataclasses import replace\n"
        "from rocm_core.cli import main\n"
        "from rocm_core.cli import chat\n"
        "made = chat.GenerateConfig\n"
        "chat.GenerateConfig = lambda **o: replace(made(**o), ignore_eos=True)\n"
        "raise SystemExit(main())"
    )
    return [sys.executable, "-c", program]


@pytest.fixture
def served(engine: Engine) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    program = subprocess.Popen(
        [*COMMAND, "serve", "-m", RECITER, "--port", "0", "--engine", engine],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdout
        said = ""
        while "Ctrl-C" not in said:
            line = program.stdout.readline()
            assert line, program.stderr.read() if program.stderr else ""
            said += line
        url = said.split("base_url=")[1].split()[0]
        key = said.split("api_key=")[1].split()[0]
        yield program, url, key
        program.kill()


def test_serve_prints_what_an_openai_client_needs_and_ends_on_sigterm(
    served: tuple[subprocess.Popen[str], str, str],
) -> None:
    program, url, key = served
    request = urllib.request.Request(
        f"{url}/chat/completions",
        json.dumps({"messages": [{"role": "user", "content": "Hello"}]}).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        assert json.load(response)["choices"][0]["message"]["content"] == ANSWER
    program.send_signal(signal.SIGTERM)
    assert program.wait(10) == 0


def test_serve_ends_on_sigterm_while_it_loads(engine: Engine) -> None:
    with subprocess.Popen(
        [*COMMAND, "serve", "-m", RECITER, "--port", "0", "--engine", engine]
    ) as program:
        watched = psutil.Process(program.pid)
        while not (children := watched.children()):
            assert program.poll() is None
        program.send_signal(signal.SIGTERM)
        assert program.wait(10) == 0
        assert not any(child.is_running() for child in children)
