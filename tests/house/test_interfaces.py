"""The table of the frameworks' interfaces has each method of their classes, and is true."""

from __future__ import annotations

import functools
import inspect
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from langchain_core.cross_encoders import BaseCrossEncoder
from langchain_core.documents import BaseDocumentCompressor
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel, BaseLLM
from llama_index.core.base.base_selector import BaseSelector
from llama_index.core.embeddings.multi_modal_base import MultiModalEmbedding
from llama_index.core.llms.custom import CustomLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.postprocessor.types import BaseNodePostprocessor

import langchain_rocm
import llama_index_rocm

decisions = pytest.importorskip("langchain_core.decisions")

PAGE = Path(__file__).parents[2] / "docs/reference/interfaces.md"
LANGCHAIN, LLAMA_INDEX = "LangChain: runnables", "LlamaIndex: components"
FRAMEWORKS = ("langchain_core.", "llama_index.")
OURS = ("langchain_rocm.", "llama_index_rocm.", "rocm_core.")
WAYS = {"native", "inherited", "not applicable"}

PAIRS: list[tuple[type, type, str]] = [
    (langchain_rocm.ChatRocm, BaseChatModel, LANGCHAIN),
    (langchain_rocm.RocmLLM, BaseLLM, LANGCHAIN),
    (langchain_rocm.RocmEmbeddings, Embeddings, ""),
    (langchain_rocm.RocmRerank, BaseDocumentCompressor, ""),
    (langchain_rocm.RocmRerank, BaseCrossEncoder, ""),
    (langchain_rocm.RocmDecisions, decisions.BaseDecisionModel, LANGCHAIN),
    (llama_index_rocm.RocmLLM, FunctionCallingLLM, LLAMA_INDEX),
    (llama_index_rocm.RocmLLM, CustomLLM, LLAMA_INDEX),
    (llama_index_rocm.RocmEmbedding, MultiModalEmbedding, LLAMA_INDEX),
    (llama_index_rocm.RocmRerank, BaseNodePostprocessor, LLAMA_INDEX),
    (llama_index_rocm.RocmDecisionRerank, BaseNodePostprocessor, LLAMA_INDEX),
    (llama_index_rocm.RocmSelector, BaseSelector, LLAMA_INDEX),
]


class Row(NamedTuple):
    """How a method is done, and why."""

    way: str
    reason: str


def sections() -> dict[str, dict[str, Row]]:
    """The rows of each section, by method."""
    found: dict[str, dict[str, Row]] = {}
    for part in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n")
        rows = found.setdefault(title.strip(), {})
        for line in text.splitlines():
            if line.startswith("| `"):
                methods, way, reason = line.strip("| ").split(" | ")
                for method in re.findall(r"`(\w+)`", methods):
                    assert method not in rows, f"{title}: {method} twice"
                    rows[method] = Row(way, reason)
    return found


SECTIONS = sections()


def methods_of(base: type) -> set[str]:
    """Methods and properties of a framework's class that are no part of Python or pydantic."""
    kinds = (classmethod, staticmethod, property, functools.cached_property)
    found = set()
    for cls in base.__mro__:
        if not cls.__module__.startswith(FRAMEWORKS):
            continue
        for name, value in vars(cls).items():
            plain = inspect.isfunction(inspect.unwrap(value) if callable(value) else value)
            if not name.startswith("__") and (plain or isinstance(value, kinds)):
                found.add(name)
    return found


def is_ours(cls: type, name: str) -> bool:
    owner = next(each for each in cls.__mro__ if name in vars(each))
    return owner.__module__.startswith(OURS)


def rows_of(cls: type, base: type, shared: str) -> dict[str, Row]:
    [own] = [
        rows
        for title, rows in SECTIONS.items()
        if f"`{cls.__name__}`" in title
        and f"`{base.__name__}`" in title
        and title.startswith("LangChain" if cls.__module__.startswith("lang") else "LlamaIndex")
    ]
    return {**SECTIONS.get(shared, {}), **own}


@pytest.mark.parametrize(("cls", "base", "shared"), PAIRS)
def test_no_method_is_blank(cls: type, base: type, shared: str) -> None:
    missing = methods_of(base) - rows_of(cls, base, shared).keys()
    assert not missing, f"{PAGE.name} has no row of {cls.__name__} for {sorted(missing)}"


@pytest.mark.parametrize(("cls", "base", "shared"), PAIRS)
def test_each_is_done_as_the_table_says(cls: type, base: type, shared: str) -> None:
    rows = rows_of(cls, base, shared)
    told = {name: rows[name].way == "native" for name in methods_of(base) & rows.keys()}
    assert told == {name: is_ours(cls, name) for name in told}


@pytest.mark.parametrize(("cls", "base", "shared"), PAIRS)
def test_nothing_abstract_is_left(cls: type, base: type, shared: str) -> None:
    assert not getattr(cls, "__abstractmethods__", None)
    assert issubclass(cls, base)


def test_every_row_has_a_way_and_a_reason() -> None:
    rows = [row for section in SECTIONS.values() for row in section.values()]
    assert {row.way for row in rows} == WAYS
    assert all(row.reason for row in rows)


def test_every_class_of_both_packages_is_in_the_table() -> None:
    # A tokenizer is a function of LlamaIndex's settings, which have no class for it.
    names: Any = {*langchain_rocm.__all__, *llama_index_rocm.__all__} - {"RocmTokenizer"}
    assert names == {cls.__name__ for cls, _, _ in PAIRS}
