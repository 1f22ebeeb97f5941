"""The example program ``examples/rag.py``, and what the package tells the ecosystem of itself."""

from __future__ import annotations

import asyncio
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Document, Settings

from examples import rag


@pytest.fixture(autouse=True)
def settings_as_before() -> Iterator[None]:
    # LlamaIndex's blocking calls want an event loop to be there, and leave it open.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    before = Settings._tokenizer
    yield
    Settings._tokenizer = before
    asyncio.set_event_loop(None)
    loop.close()


def test_documents_are_the_repositorys_own() -> None:
    files = {document.metadata["file"] for document in rag.documents()}
    assert {"README.md", "CHANGELOG.md", "benchmarks/README.md"} <= files


def test_embed_rerank_answer_and_cite(
    engine: Any,
    minilm: Path,
    ranker: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    by_file = {document.metadata["file"]: document.text for document in rag.documents()}
    sections = by_file["tests/support/captures/README.md"].split("\n\n")[:6]
    few = [Document(text=text, metadata={"file": f"{n}.md"}) for n, text in enumerate(sections)]
    monkeypatch.setattr(rag, "documents", lambda: few)
    rag.main(
        [
            *("What is recorded?", "--engine", engine),
            *("--embedding-model", str(minilm), "--rerank-model", str(ranker)),
        ]
    )
    printed = capsys.readouterr().out
    assert "rocm_llm: demo" in printed and "rocm_rerank: ranker" in printed
    blocking, with_asyncio = printed.split("\nBlocking:\n")[1].split("\nWith asyncio:\n")
    for part in (blocking, with_asyncio):
        answer, figures, *sources = part.rstrip().split("\n  ")
        assert answer.strip()
        found = re.fullmatch(
            r"first token after (\S+) s, all after (\S+) s; tokenizer called (\d+) times, "
            r"its server asked (\d+) times",
            figures.strip(),
        )
        assert found, figures
        assert 0 < float(found[1]) <= float(found[2])
        assert int(found[3]) > 0
        scores = [float(source.split()[0]) for source in sources]
        assert len(scores) == 3 and scores == sorted(scores, reverse=True)
        assert all(re.search(r" \d+\.md: ", source) for source in sources)


def test_what_llamahub_reads_is_true() -> None:
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    project = (Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8")
    hub = tomllib.loads(project)["tool"]["llamahub"]
    package = importlib.import_module(hub["import_path"])
    assert set(hub["class_authors"]) <= set(package.__all__)
    deciding = {"RocmDecisionRerank", "RocmSelector"}
    assert {"RocmLLM", "RocmEmbedding", "RocmRerank", *deciding} == set(hub["class_authors"])
