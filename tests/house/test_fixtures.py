"""The suite's servers are shared by all three packages, and outlive each test's share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import langchain_rocm
import llama_index_rocm
from rocm_core import TextModel
from rocm_core.config import Engine
from tests.support.models.reciter import RECITER


def test_adapters_without_load_options_share_the_servers_of_the_suite(
    engine: Engine,
    model: TextModel,
    embedding_model: TextModel,
    rerank_model: TextModel,
    minilm: Path,
    ranker: Path,
) -> None:
    shares: list[tuple[Any, str | Path, TextModel]] = [
        (langchain_rocm.ChatRocm, RECITER, model),
        (langchain_rocm.RocmLLM, RECITER, model),
        (langchain_rocm.RocmEmbeddings, minilm, embedding_model),
        (langchain_rocm.RocmRerank, ranker, rerank_model),
        (llama_index_rocm.RocmLLM, RECITER, model),
        (llama_index_rocm.RocmEmbedding, minilm, embedding_model),
        (llama_index_rocm.RocmRerank, ranker, rerank_model),
    ]
    for adapter, path, of in shares:
        server = of.connection.server  # type: ignore[attr-defined]
        mine = adapter(model=str(path), engine=engine)
        assert mine.text_model.connection.server is server
        mine.close()
        assert server.is_running
