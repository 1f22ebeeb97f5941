"""llama-rocm's core: run llama.cpp on an AMD GPU (or the CPU, or elsewhere) and stream from it.

    from rocm_core import load_model

    with load_model("path/to/model.gguf") as model:
        for token in model.chat([{"role": "user", "content": "Hello"}]):
            print(token.text, end="")

Importing this package starts nothing and opens nothing.
"""

from __future__ import annotations

from rocm_core.backend import Backend, Connection, get_backend, list_backends
from rocm_core.client import AsyncClient, Client
from rocm_core.config import GenerateConfig, LoadConfig, Timeouts
from rocm_core.errors import RocmError
from rocm_core.gguf import GGUFInfo, read_gguf
from rocm_core.model import TextModel, load_model
from rocm_core.refs import ModelRef, resolve_ref
from rocm_core.server import Server, State, explain_failure
from rocm_core.types import Message, ModelInfo, StreamEvent, Timings, Token, ToolCallDelta, Usage

__all__ = [
    "AsyncClient",
    "Backend",
    "Client",
    "Connection",
    "GGUFInfo",
    "GenerateConfig",
    "LoadConfig",
    "Message",
    "ModelInfo",
    "ModelRef",
    "RocmError",
    "Server",
    "State",
    "StreamEvent",
    "TextModel",
    "Timeouts",
    "Timings",
    "Token",
    "ToolCallDelta",
    "Usage",
    "explain_failure",
    "get_backend",
    "list_backends",
    "load_model",
    "read_gguf",
    "resolve_ref",
]
