"""LangChain on llama.cpp.

    from langchain_rocm import ChatRocm

    chat = ChatRocm(model="path/to/model.gguf")
    for chunk in chat.stream("Hello"):
        print(chunk.text, end="")

``ChatRocm`` is a chat model, ``RocmLLM`` continues raw text, ``RocmEmbeddings`` and
``RocmRerank`` serve retrieval, ``RocmDecisions`` answers typed questions. The server starts at
first use; importing starts nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rocm_core.extras import require

if TYPE_CHECKING:
    from langchain_rocm.chat_models import ChatRocm
    from langchain_rocm.decisions import RocmDecisions
    from langchain_rocm.embeddings import RocmEmbeddings
    from langchain_rocm.llms import RocmLLM
    from langchain_rocm.rerank import RocmRerank

    __version__: str

__all__ = ["ChatRocm", "RocmDecisions", "RocmEmbeddings", "RocmLLM", "RocmRerank"]

require("langchain_core", "langchain_rocm", 'pip install "llama-rocm[langchain]"')

# Where each name lives; it is imported when somebody asks for it, because importing everything
# takes CPU time that most programs need for something else (``benchmarks/``).
_HOMES = {
    "chat_models": ("ChatRocm",),
    "decisions": ("RocmDecisions",),
    "embeddings": ("RocmEmbeddings",),
    "llms": ("RocmLLM",),
    "rerank": ("RocmRerank",),
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "__version__":
        import rocm_core

        return rocm_core.__version__
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"{__name__}.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
