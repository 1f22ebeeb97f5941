"""An embedding model whose tokenizer drops letters is told about, once, in both adapters."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from langchain_rocm import RocmEmbeddings
from llama_index_rocm import RocmEmbedding
from rocm_core import TextModel, load_model
from rocm_core.adapter import warn_of_lost_letters
from rocm_core.config import Engine
from tests.support.models.reciter import RECITER

_SAME = [
    ("한국", "학교"),
    ("바다", "벼도"),
    ("दिन", "दान"),
    ("কি", "কা"),
    ("กิน", "กัน"),
    ("ガ", "カ"),
]
_DIFFERENT = [("中文", "英文"), ("שלום", "שלוש"), ("йод", "код")]


@pytest.mark.parametrize(("one", "other"), _SAME)
def test_the_engine_takes_these_words_for_one(
    embedding_model: TextModel, one: str, other: str
) -> None:
    first, second = embedding_model.embed([one, other])
    assert first == pytest.approx(second, abs=1e-5)


@pytest.mark.parametrize(("one", "other"), _DIFFERENT)
def test_but_not_those(embedding_model: TextModel, one: str, other: str) -> None:
    assert embedding_model.tokenize(one) != embedding_model.tokenize(other)


def test_both_adapters_warn_once(engine: Engine, minilm: Path) -> None:
    where: dict[str, Any] = {"model": str(minilm), "engine": engine}
    ours = RocmEmbeddings(**where)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours.embed_documents(["Hello", "café"])
    with pytest.warns(UserWarning, match="first letter of a Hangul"):
        ours.embed_documents(["Hello", "한국어"])
    theirs = RocmEmbedding(**where)
    with pytest.warns(UserWarning, match="first letter of a Hangul"):
        theirs.get_text_embedding("किताब")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours.embed_query("한국어")
        theirs.get_query_embedding("किताब")
    ours.close()
    theirs.close()


async def test_for_asyncio_too(engine: Engine, minilm: Path) -> None:
    ours = RocmEmbeddings(model=str(minilm), engine=engine)
    with pytest.warns(UserWarning, match="first letter of a Hangul"):
        await ours.aembed_query("한국어")
    await ours.aclose()


def test_another_tokenizer_is_no_reason(engine: Engine) -> None:
    with load_model(RECITER, engine=engine) as model, warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_lost_letters(model, ["한국어"])
