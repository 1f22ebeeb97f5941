"""What people type who come from elsewhere, what they must not type, and Ctrl-C at once."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

import langchain_rocm
import llama_index_rocm
import rocm_core
from rocm_core.cli import main
from rocm_core.cli.sizes import parse_memory

KEY = "sk-very-secret-0123456789"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run llama3", "`llama-rocm chat -m MODEL`"),
        ("list", "`llama-rocm models`"),
        ("pull org/repo", "`llama-rocm chat -m org/repo`"),
        ("chatt", "Did you mean 'chat'?"),
        ("frobnicate", "there is no command 'frobnicate'"),
        ("chat -c 4096", "-c is --context-len here"),
        ("chat --ctx-size 4096", "--ctx-size is --context-len here"),
        ("serve --ctx-size=4096 -ngl 3", "-ngl is --gpu-layers here"),
        ("chat --n-predict 3 -n 3", "--n-predict is --max-tokens here. -n is --max-tokens here"),
        ("serve -hf org/repo", "-hf is -m here"),
        ("fit demo -c 4096", "-c is --context-len here"),
        ("chat --contxt-len 3", "Did you mean --context-len?"),
        ("serve --some-new-flag", "--extra-arg=--some-new-flag"),
        ("ps --frobnicate", "This command has no --frobnicate"),
    ],
)
def test_a_habit_from_elsewhere_is_told_what_it_is_here(
    line: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refused(capsys, *line.split())


@pytest.mark.parametrize("arguments", [["--api-key", KEY], [f"--api-key={KEY}"]])
@pytest.mark.parametrize("command", [["chat", "x"], ["serve"], ["doctor"], ["top"], ["ps"]])
def test_a_key_on_the_command_line_is_refused_and_not_repeated(
    command: list[str], arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(capsys, *command, *arguments)
    assert "--api-key-file PATH, or --api-key-env NAME" in told
    assert KEY not in told


@pytest.mark.parametrize("content", ["", "\n", "one two\n", "a\nb\n", None])
def test_a_file_that_holds_no_key_is_refused(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    assert main(["chat", "x", "-m", "http://127.0.0.1:9", "--api-key-file", str(file)]) == 1
    assert f"--api-key-file: {file} " in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"llama-rocm {rocm_core.__version__}\n"


def test_every_package_tells_its_version() -> None:
    versions = {package.__version__ for package in (rocm_core, langchain_rocm, llama_index_rocm)}
    assert len(versions) == 1
    assert versions.pop()[0].isdigit()


@pytest.mark.parametrize(
    ("text", "size"), [("24", 24 << 30), ("0.5", 1 << 29), ("24G", 24 << 30), ("512M", 512 << 20)]
)
def test_a_bare_number_of_vram_is_in_gib(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["24000", "0", "-1", "nan", "much"])
def test_a_number_that_may_be_anything_is_asked_back(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="of what|no size"):
        parse_memory(text)


def test_fit_takes_24_for_24_gib(capsys: pytest.CaptureFixture[str]) -> None:
    main(["fit", "demo", "--vram", "24"])
    assert "24.00 GiB" in capsys.readouterr().out


def test_a_warning_is_one_line_for_people(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLAMA_ROCM_CONTEXT_LEN", "8192")
    with pytest.warns(UserWarning, match=r"context_len \(LLAMA_ROCM_CONTEXT_LEN\): no effect"):
        main(["chat", "x", "-m", "http://127.0.0.1:9"])
    done = subprocess.run(
        [sys.executable, "-c", _MAIN, "chat", "x", "-m", "http://127.0.0.1:9"],
        capture_output=True,
        text=True,
        check=False,
    )
    first = done.stderr.splitlines()[0]
    assert first.startswith("llama-rocm: warning: context_len (LLAMA_ROCM_CONTEXT_LEN): no effect")


# -- Ctrl-C -----------------------------------------------------------------------------------

_MAIN = "from rocm_core.cli import main; raise SystemExit(main())"
# Ctrl-C at the moment when a module begins to be imported.
_INTERRUPTED = """
import sys

class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, CtrlC())
sys.modules.pop({module!r}, None)
sys.argv[1:] = ["chat", "x", "-m", "demo"]
from rocm_core.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    "module",
    [
        *("argparse", "logging", "rocm_core.errors", "rocm_core.cli.report", "rocm_core.config"),
        *("rich", "httpx", "rocm_core.cli.chat", "rocm_core.model.text_model"),
    ],
)
def test_ctrl_c_while_the_program_is_imported_prints_no_traceback(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED.format(module=module)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.returncode, done.stderr) == (130, "")


def test_nothing_is_imported_before_ctrl_c_is_handled() -> None:
    code = (
        "import sys; before = set(sys.modules); from rocm_core.cli import main; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"__future__", "rocm_core", "rocm_core.cli"}
