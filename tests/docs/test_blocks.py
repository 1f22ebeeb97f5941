"""Every block of code on every page runs, from the state that its reader has there.

The Python blocks of a page share a namespace, and see only what the pip lines above them install;
in the README each stands alone. A block that cannot run here says why in a comment before it
(``<!-- not run: … -->``); what it names is then checked in other ways (``test_commands.py``).
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import langchain_rocm
import llama_index_rocm
from rocm_core.adapter import RocmOptions
from rocm_core.demo import demo_model_path
from tests.support.pages import PAGES, ROOT, Block, blocks, hidden_from

PYTHON = {page: [b for b in blocks(page) if b.language in ("python", "diff")] for page in PAGES}
RUN = {page: found for page in PAGES if (found := [b for b in PYTHON[page] if not b.why_not])}
README = RUN.pop("README.md")
NOT_RUN = [block for found in PYTHON.values() for block in found if block.why_not]
# Models that pages name, besides model.gguf, and the fixtures that make them.
_WEIGHTS = {"embedding.gguf": "minilm", "reranker.gguf": "ranker"}
_OURS = ("rocm_core", "langchain_rocm", "llama_index_rocm")
_CLASSES = {
    name: getattr(package, name)
    for package in (langchain_rocm, llama_index_rocm)
    for name in package.__all__
}


@pytest.fixture
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A directory with the files that pages name."""
    (tmp_path / "model.gguf").symlink_to(demo_model_path())
    return tmp_path


def read(read_blocks: list[Block], desk: Path) -> str:
    """Run blocks as their reader would; return what they print."""
    given = [(block.place, _code(block), hidden_from(block)) for block in read_blocks]
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-m", "tests.support.reader"],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        cwd=desk,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "\N{REPLACEMENT CHARACTER}" not in done.stdout
    return done.stdout


def _code(block: Block) -> str:
    """Return what a reader runs: of a difference, the new lines."""
    if block.language == "python":
        return block.text
    return "\n".join(line[1:] for line in block.text.splitlines() if line.startswith("+"))


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.parametrize("page", RUN)
def test_the_blocks_of_a_page_run(page: str, desk: Path, request: pytest.FixtureRequest) -> None:
    for name, fixture in _WEIGHTS.items():
        if any(name in block.text for block in RUN[page]):
            (desk / name).symlink_to(request.getfixturevalue(fixture))
    read(RUN[page], desk)


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.parametrize("block", README, ids=lambda block: block.place)
def test_each_block_of_the_readme_runs_and_prints(block: Block, desk: Path) -> None:
    printed = read([block], desk)
    assert printed.replace(f"-- {block.place}", "").strip()


@pytest.mark.parametrize("block", NOT_RUN, ids=lambda block: block.place)
def test_what_cannot_run_here_names_what_exists(block: Block) -> None:
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in _OURS:
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            known = _CLASSES.get(node.func.id)
            if known is not None and issubclass(known, RocmOptions):
                assert {keyword.arg for keyword in node.keywords} <= set(known.model_fields)


def test_a_reader_has_nothing_but_what_the_page_installs(desk: Path) -> None:
    [llama_index] = [block for block in README if "llama_index_rocm" in block.text]
    first = Block("README.md", README[0].line, "python", "from llama_index_rocm import RocmLLM")
    assert "llama_index" in hidden_from(first) and "llama_index" not in hidden_from(llama_index)
    with pytest.raises(AssertionError, match=r'pip install "llama-rocm\[llama-index\]"'):
        read([first], desk)
