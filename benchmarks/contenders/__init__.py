"""Who competes. Each contender delivers the same answer, piece by piece, to a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack

from benchmarks.contenders import langchain, llamaindex, ours, raw
from benchmarks.contenders.base import Contender, Setting, Take

__all__ = ["GROUPS", "Contender", "Setting", "Take", "build"]

Group = Callable[[Setting, ExitStack], list[Contender]]

GROUPS: dict[str, Group] = {
    "raw": raw.build,
    "openai SDK": raw.openai,
    "rocm_core": ours.build,
    "LangChain's floor": langchain.floor,
    "ChatRocm": langchain.ours,
    "ChatOpenAI": langchain.openai,
    "ChatLlamaServer": langchain.llama_server,
    "ChatLlama": langchain.llama,
    "ChatOllama": langchain.ollama,
    "LlamaIndex's floor": llamaindex.floor,
    "RocmLLM": llamaindex.ours,
    "OpenAILike": llamaindex.openai,
    "LlamaIndex's Ollama": llamaindex.ollama,
}


def build(
    setting: Setting, stack: ExitStack, groups: Iterable[str] = tuple(GROUPS)
) -> tuple[list[Contender], list[str]]:
    """Every contender that can compete here, and a line for each group that cannot.

    Args:
        setting: what they are to read.
        stack: closes what they hold open.
        groups: whom to ask; keys of ``GROUPS``.
    """
    contenders: list[Contender] = []
    absent: list[str] = []
    for group in groups:
        try:
            contenders += GROUPS[group](setting, stack)
        except ModuleNotFoundError as error:
            absent.append(f"left out: {group} ({error.name} is not installed)")
    return contenders, absent
