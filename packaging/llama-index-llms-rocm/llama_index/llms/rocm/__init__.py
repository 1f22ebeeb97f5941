"""``RocmLLM`` of llama-rocm, where LlamaIndex's own integrations are.

from llama_index.llms.rocm import RocmLLM
"""

from llama_index_rocm import RocmLLM, RocmTokenizer

__all__ = ["RocmLLM", "RocmTokenizer"]
