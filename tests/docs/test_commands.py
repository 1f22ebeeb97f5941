"""Every shell command on every page: those that can, run; of the others, each part exists."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rocm_core.cli import parsers
from rocm_core.demo import demo_model_path
from rocm_core.doctor.setup.advice import DRIVERS, GROUPS
from rocm_core.gpu.names import chip_is_integrated
from tests.support.pages import PAGES, ROOT, Block, blocks, text_of

_SHELL = ("sh", "bash", "shell")
_PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
_EXTRAS = set(re.findall(r"^([\w-]+) = \[", _PROJECT.partition("optional-dependencies]")[2], re.M))
_INSTALLED_BY_CI = (ROOT / ".ci/run").read_text(encoding="utf-8")
# Inline code of a page that somebody may paste; generated pages have placeholders in it.
_INLINE = re.compile(r"`((?:sudo|pip install|llama-rocm [a-z]|CMAKE_ARGS=)[^`\n]*)`")
_PLACEHOLDERS = re.compile(r"\[|COMMAND|\bPID\b|\bNAME\b|\bDIR\b")
# Commands of the first shell blocks of the README: the first is run in a clean environment before a
# release (.ci/release), the second is what CI runs.
_VARIABLES = {"ROCM_LLAMA_SERVER_PATH", "LLAMA_ROCM_TEMPLATES"}


def shell_blocks() -> Iterator[Block]:
    for page in PAGES:
        yield from (block for block in blocks(page) if block.language in _SHELL)


def commands() -> Iterator[tuple[str, str]]:
    """Every command, with its place."""
    for block in shell_blocks():
        yield from ((block.place, line) for line in block.commands)
    for page in PAGES:
        if page != "docs/reference/cli.md":
            for found in _INLINE.finditer(text_of(page)):
                if not _PLACEHOLDERS.search(found[1]):
                    yield page, found[1].replace("\\|", "|")


def to_run() -> list[str]:
    lines = (
        line
        for block in shell_blocks()
        if block.page.startswith("docs/") and not block.why_not
        for line in block.commands
        if line.startswith("llama-rocm ")
    )
    return list(dict.fromkeys(lines))


# -- what each program may be given ----------------------------------------------------------------


def _llama_rocm(words: list[str]) -> None:
    root, known = parsers()
    if words[0] in known and len(words) == 1:
        return  # a command by its name
    try:
        root.parse_args(words)
    except SystemExit as ended:
        assert ended.code == 0, f"llama-rocm {shlex.join(words)} is refused"  # --help ends with 0


def _pip(words: list[str]) -> None:
    assert words[0] in ("install", "download")
    for word in words[1:]:
        found = re.fullmatch(r"(?:llama-rocm|\.)\[([\w,-]+)\]", word)
        if found:
            assert set(found[1].split(",")) <= _EXTRAS, f"{word}: an extra that does not exist"
        elif not word.startswith("-") and word != ".":
            name = re.split(r"[<>=]", word)[0]
            assert name in _PROJECT + _INSTALLED_BY_CI + "pre-commit", (
                f"{word}: a package that nothing here needs"
            )


def _sudo(words: list[str]) -> None:
    known = {*DRIVERS.values(), GROUPS, "modprobe amdgpu", "setsebool container_use_devices=1"}
    assert " ".join(words) in known


def _docker(words: list[str]) -> None:
    groups = [word for word in words if word.startswith("$(getent group")]
    assert groups == [f"$(getent group {name} | cut -d: -f3)" for name in ("render", "video")]
    devices = [words[n + 1] for n, word in enumerate(words) if word == "--device"]
    assert devices == ["/dev/kfd", "/dev/dri"]


def _python(words: list[str]) -> None:
    if words[0] == "-m" and words[1].partition(".")[0] in ("tests", "scripts", "benchmarks"):
        path = ROOT / words[1].replace(".", "/")
        assert path.with_suffix(".py").exists() or path.is_dir()
    for word in words[2:]:
        assert not word.startswith("tests/") or (ROOT / word).exists()


def _export(words: list[str]) -> None:
    assert words[0].partition("=")[0] in _VARIABLES


def _anything(words: list[str]) -> None:
    """A program that every developer has."""


_PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "llama-rocm": _llama_rocm,
    "pip": _pip,
    "sudo": _sudo,
    "docker": _docker,
    "python": _python,
    "python3": _python,
    "export": _export,
    **dict.fromkeys(
        ("cd", "git", "lint-imports", "mkdocs", "mypy", "pre-commit", "ruff", "source"), _anything
    ),
}


@pytest.mark.parametrize(("place", "line"), list(dict.fromkeys(commands())))
def test_each_part_of_a_command_exists(place: str, line: str) -> None:
    for part in line.split(" && "):
        words = shlex.split(part, comments=True)
        while "=" in words[0]:
            _compiles_for_a_gpu(words.pop(0))
        program = words.pop(0)
        if program.startswith(".ci/"):
            assert (ROOT / program).is_file()
            continue
        assert program in _PROGRAMS, f"{place}: what is {program}?"
        _PROGRAMS[program](words)


def _compiles_for_a_gpu(setting: str) -> None:
    name, _, flags = setting.partition("=")
    assert name == "CMAKE_ARGS" and re.match(r"-DGGML_(HIP|VULKAN)=ON\b", flags)
    for gfx in re.findall(r"gfx\w+", flags):
        assert chip_is_integrated(gfx, None) is not None


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.parametrize("line", to_run())
def test_what_can_run_runs(line: str, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").symlink_to(demo_model_path())
    program = "import sys; from rocm_core.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, *shlex.split(line)[1:]],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_drivers_are_those_of_setup() -> None:
    for page in ("README.md", "docs/start/radeon.md"):
        for name in ("debian", "fedora", "arch", "suse"):
            assert f"`sudo {DRIVERS[name]}`" in text_of(page)
