"""LlamaIndex on llama.cpp: any GGUF model, on an AMD GPU or the CPU.

    from llama_index_rocm import RocmLLM

    llm = RocmLLM(model="path/to/model.gguf")
    for chunk in llm.stream_complete("Hello"):
        print(chunk.delta, end="")

Importing this package starts nothing and opens nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rocm_core.extras import require

if TYPE_CHECKING:
    from llama_index_rocm.decisions.rerank import RocmDecisionRerank
    from llama_index_rocm.decisions.selector import RocmSelector
    from llama_index_rocm.embedding import RocmEmbedding
    from llama_index_rocm.llm import RocmLLM
    from llama_index_rocm.rerank import RocmRerank
    from llama_index_rocm.tokenizer import RocmTokenizer

    __version__: str

__all__ = [
    "RocmDecisionRerank",
    "RocmEmbedding",
    "RocmLLM",
    "RocmRerank",
    "RocmSelector",
    "RocmTokenizer",
]

require("llama_index.core", "llama_index_rocm", 'pip install "llama-rocm[llama-index]"')

# Where each name lives; it is imported when somebody asks for it, because importing everything
# takes CPU time that most programs need for something else (``benchmarks/``).
_HOMES = {
    "decisions.rerank": ("RocmDecisionRerank",),
    "decisions.selector": ("RocmSelector",),
    "embedding": ("RocmEmbedding",),
    "llm": ("RocmLLM",),
    "rerank": ("RocmRerank",),
    "tokenizer": ("RocmTokenizer",),
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
