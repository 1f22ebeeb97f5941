"""Read the facts in a GGUF file's header; never the tensors' data.

reader         bytes → keys and tensor list      (bounded time and memory)
facts          keys and tensors → GGUFInfo, of one file or of all parts of a split model
vocabulary     the tokenizer's arrays, which facts leave out (imported where it is used)
quantization   tables of ggml's tensor types and llama.cpp's file types
"""

from __future__ import annotations

from rocm_core.gguf.facts import GGUFInfo, check_gguf, part_paths, read_gguf, read_model
from rocm_core.gguf.reader import TensorInfo

__all__ = ["GGUFInfo", "TensorInfo", "check_gguf", "part_paths", "read_gguf", "read_model"]
