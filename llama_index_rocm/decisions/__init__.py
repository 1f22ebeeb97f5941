"""Decisions in LlamaIndex: a selector (query engines, retrievers, tools), and a reranker."""
