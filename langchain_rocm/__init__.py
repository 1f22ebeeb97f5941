"""LangChain on llama.cpp.

    from langchain_rocm import ChatRocm

    chat = ChatRocm(model="path/to/model.gguf")
    for chunk in chat.stream("Hello"):
        print(chunk.text, end="")

``ChatRocm`` is a chat model, ``RocmLLM`` continues raw text, ``RocmEmbeddings`` and
``RocmRerank`` serve retrieval. The server starts at first use; importing starts nothing.
"""

from __future__ import annotations

from langchain_rocm.chat_models import ChatRocm
from langchain_rocm.embeddings import RocmEmbeddings
from langchain_rocm.llms import RocmLLM
from langchain_rocm.rerank import RocmRerank

__all__ = ["ChatRocm", "RocmEmbeddings", "RocmLLM", "RocmRerank"]
