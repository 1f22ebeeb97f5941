"""What a model file says about itself. Reads headers only, never the tensors' data.

reader.py         bytes → keys and tensor list      (bounded time and memory)
quantization.py   the tables of ggml's types and llama.cpp's file types
facts.py          keys and tensors → ``GGUFInfo``, one file or all parts of a split model
"""

from __future__ import annotations

from rocm_core.gguf.facts import GGUFInfo, check_gguf, part_paths, read_gguf, read_model
from rocm_core.gguf.reader import TensorInfo

__all__ = ["GGUFInfo", "TensorInfo", "check_gguf", "part_paths", "read_gguf", "read_model"]
