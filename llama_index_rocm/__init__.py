"""LlamaIndex on llama.cpp: any GGUF model, on an AMD GPU or the CPU.

    from llama_index_rocm import RocmLLM

    llm = RocmLLM(model="path/to/model.gguf")
    for chunk in llm.stream_complete("Hello"):
        print(chunk.delta, end="")

Importing this package starts nothing and opens nothing.
"""

from __future__ import annotations

from llama_index_rocm.embedding import RocmEmbedding
from llama_index_rocm.llm import RocmLLM
from llama_index_rocm.rerank import RocmRerank
from llama_index_rocm.tokenizer import RocmTokenizer

__all__ = ["RocmEmbedding", "RocmLLM", "RocmRerank", "RocmTokenizer"]
