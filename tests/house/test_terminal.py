"""No text from outside commands the terminal: of logs, of model files, of servers."""

from __future__ import annotations

import ast
import io
import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import rocm_core.cli
from rocm_core import LoadConfig, Server, load_model, resolve_ref
from rocm_core.cli import main
from rocm_core.cli.console import make_console
from rocm_core.cli.screen import say, say_answer
from rocm_core.errors import ConfigError, ModelNotFound, RocmError, ServerStartError
from rocm_core.supervisor.child_process import Child
from rocm_core.terminal import visible
from tests.support.models.reciter import RECITER
from tests.support.models.shapes import Shape, write_model
from tests.support.programs import PATIENCE
from tests.support.servers.fake_server import FakeServer, answer
from tests.support.servers.scripts import chat, script, think
from tests.support.servers.scripts import say as says

RED = "\x1b[31mred\x1b[0m"
SPELLED = r"\x1b[31mred\x1b[0m"
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def unspelled(text: str) -> bool:
    return bool(_COMMANDS.search(text))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (RED, SPELLED),
        ("a\tb\nc ü 漢 👩\u200d💻", "a\tb\nc ü 漢 👩\u200d💻"),
        ("over\rwritten", r"over\x0dwritten"),
        ("\x9b31m\x07\x00\x7f", r"\x9b31m\x07\x00\x7f"),
        ("a\u202eb\u2066c", r"a\u202eb\u2066c"),
        ("half \ud83d", r"half \ud83d"),
    ],
)
def test_commands_are_spelled_out_and_text_stays(text: str, shown: str) -> None:
    assert visible(text) == shown == visible(shown)


def test_every_command_prints_through_the_two_files_that_do_so() -> None:
    folder = Path(rocm_core.cli.__file__).parent
    found = []
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Name) and called.id in ("print", "Console"):
                found.append(path.name)
    assert set(found) == {"screen.py"}, "rocm_core/cli/screen.py and console.py print"


def test_tables_of_a_command_keep_their_own_colors_only() -> None:
    out = io.StringIO()
    console = make_console(file=out, force_terminal=True, color_system="standard", width=60)
    console.print(f"[red]ours[/red] {RED}", highlight=False)
    assert out.getvalue() == f"\x1b[31mours\x1b[0m {SPELLED}\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_an_answer_is_exact_in_a_pipe(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stdout", out)
    say_answer(RED)
    assert out.getvalue() == (SPELLED if terminal else RED)


def test_a_program_without_stdout_or_stderr_prints_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    say("lost")
    say("lost", aside=True)
    say_answer("lost")
    assert main(["config", "--json"]) == 0
    assert main(["chat", "Hi", "-m", "./gone.gguf"]) == 1


@pytest.mark.parametrize("cls", [RocmError, ConfigError, ModelNotFound, ServerStartError])
def test_an_error_that_nobody_catches_commands_nothing(cls: type[RocmError]) -> None:
    assert SPELLED in str(cls(f"it said {RED}"))


def test_what_a_server_says_is_spelled_out(
    scripted: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    body = {"error": {"code": 400, "message": RED, "type": "invalid_request_error"}}
    scripted.script("/v1/chat/completions", answer(json.dumps(body).encode(), 400))
    assert main(["chat", "Hi", "-m", scripted.url]) == 1
    out, err = capsys.readouterr()
    assert SPELLED in err and not unspelled(out + err)


def test_a_thought_is_spelled_out_as_well(
    scripted: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    script(scripted, chat(think(RED), says("Hi")))
    assert main(["chat", "Hi", "-m", scripted.url]) == 0
    err = capsys.readouterr().err
    assert SPELLED in err and not unspelled(err)


def test_strings_of_a_model_file_are_spelled_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / f"{RED}.gguf", Shape(layers=2, vocabulary=512))
    assert main(["models", str(tmp_path), "--no-caches"]) == 0
    assert main(["fit", str(tmp_path / f"{RED}.gguf"), "--vram", "1G"]) in (0, 1)
    out = capsys.readouterr().out
    assert SPELLED in out and not unspelled(out)


def test_lines_of_a_log_are_spelled_out_and_bounded(caplog: pytest.LogCaptureFixture) -> None:
    code = f"import sys; print({RED!r}); sys.stdout.write('x' * 100_000)"
    lines: list[str] = []
    with caplog.at_level(logging.DEBUG, "rocm_core.server"):
        child = Child(
            [sys.executable, "-c", code],
            dict(os.environ),
            with_parent_death=False,
            on_line=lines.append,
        )
        assert child.exited.wait(PATIENCE)
    assert lines[0] == child.tail()[0] == SPELLED
    assert max(map(len, lines)) <= 8192
    assert not any(map(unspelled, caplog.messages))


def test_the_reason_of_a_failed_start_is_spelled_out(tmp_path: Path) -> None:
    program = tmp_path / "llama-server"
    program.write_text(
        "#!/bin/sh\nif [ $1 = --help ]; then echo '-m, --model'; exit; fi\n"
        f"echo 'error: {RED}'; exit 1\n"
    )
    program.chmod(0o755)
    server = Server(resolve_ref(RECITER), LoadConfig(server_path=program, backend="cpu"))
    with pytest.raises(ServerStartError) as caught:
        server.start()
    assert SPELLED in str(caught.value) + "".join(server.log_tail() or caught.value.log_tail)
    assert not any(map(unspelled, (str(caught.value), *caught.value.log_tail)))


@pytest.mark.parametrize(
    "name", ["X Y", "", "X:", "Schlüssel", "X\r\nY", "X\x00", "Key: sk-secret"]
)
def test_names_of_headers_are_checked_and_not_shown(name: str) -> None:
    headers: dict[str, Any] = {name: "value"}
    with (
        pytest.raises(ConfigError, match="name of a header") as caught,
        load_model("http://127.0.0.1:9", headers=headers) as model,
    ):
        model.load()
    assert "sk-secret" not in str(caught.value)
