"""llama-rocm's core: run llama.cpp on an AMD GPU (or the CPU, or elsewhere) and stream from it.

    from rocm_core import load_model

    with load_model("path/to/model.gguf") as model:
        for token in model.chat([{"role": "user", "content": "Hello"}]):
            print(token.text, end="")

Importing this package starts nothing and opens nothing.
"""

from __future__ import annotations

# As type checkers understand it. Importing ``typing`` would take a third of the time until the
# command line can handle Ctrl-C.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rocm_core.backend import Backend, Connection, get_backend, list_backends
    from rocm_core.client import (
        AsyncClient,
        Chat,
        Client,
        Completion,
        Deadline,
        Infill,
        cancel_scope,
    )
    from rocm_core.config import GenerateConfig, LoadConfig, RemoteConfig, Timeouts
    from rocm_core.decisions import (
        Box,
        BoxAnswer,
        Choice,
        ChoiceAnswer,
        Decision,
        Score,
        ScoreAnswer,
        YesNo,
        YesNoAnswer,
    )
    from rocm_core.diagnosis import explain_failure
    from rocm_core.discover.models import FoundModel, discover_models
    from rocm_core.discover.refs import ModelRef, resolve_ref
    from rocm_core.doctor import run_doctor
    from rocm_core.errors import RocmError
    from rocm_core.gguf import GGUFInfo, read_gguf, read_model
    from rocm_core.gpu import Gpu, Selection, list_gpus, select_gpus
    from rocm_core.memory.estimate import Companions, Device, MemoryEstimate, estimate_memory
    from rocm_core.memory.fit import fit_model
    from rocm_core.model.ndjson import afrom_ndjson, ato_ndjson, from_ndjson, to_ndjson
    from rocm_core.model.service import LlamaService
    from rocm_core.model.text_model import TextModel, load_model
    from rocm_core.server import Server, State
    from rocm_core.supervisor.metrics import Metrics, snapshot
    from rocm_core.types import (
        Check,
        Message,
        ModelInfo,
        StreamEvent,
        Timings,
        Token,
        ToolCallDelta,
        Usage,
    )

# Here and not asked of the installed distribution: to find that takes as long as a quarter of the
# import of an adapter. pyproject.toml reads this line.
__version__ = "0.2.0"

__all__ = [
    "AsyncClient",
    "Backend",
    "Box",
    "BoxAnswer",
    "Chat",
    "Check",
    "Choice",
    "ChoiceAnswer",
    "Client",
    "Companions",
    "Completion",
    "Connection",
    "Decision",
    "Deadline",
    "Device",
    "FoundModel",
    "GGUFInfo",
    "GenerateConfig",
    "Gpu",
    "Infill",
    "LlamaService",
    "LoadConfig",
    "MemoryEstimate",
    "Message",
    "Metrics",
    "ModelInfo",
    "ModelRef",
    "RemoteConfig",
    "RocmError",
    "Score",
    "ScoreAnswer",
    "Selection",
    "Server",
    "State",
    "StreamEvent",
    "TextModel",
    "Timeouts",
    "Timings",
    "Token",
    "ToolCallDelta",
    "Usage",
    "YesNo",
    "YesNoAnswer",
    "discover_models",
    "estimate_memory",
    "afrom_ndjson",
    "ato_ndjson",
    "cancel_scope",
    "explain_failure",
    "fit_model",
    "from_ndjson",
    "get_backend",
    "list_backends",
    "list_gpus",
    "load_model",
    "read_gguf",
    "read_model",
    "resolve_ref",
    "run_doctor",
    "select_gpus",
    "snapshot",
    "to_ndjson",
]

# Where each name lives; it is imported when somebody asks for it, because importing everything
# takes CPU time that most programs need for something else (``benchmarks/``).
_HOMES = {
    "backend": ("Backend", "Connection", "get_backend", "list_backends"),
    "client": ("AsyncClient", "Chat", "Client", "Completion", "Deadline", "Infill", "cancel_scope"),
    "config": ("GenerateConfig", "LoadConfig", "RemoteConfig", "Timeouts"),
    "decisions": (
        *("Box", "BoxAnswer", "Choice", "ChoiceAnswer", "Decision", "Score", "ScoreAnswer"),
        *("YesNo", "YesNoAnswer"),
    ),
    "diagnosis": ("explain_failure",),
    "discover.models": ("FoundModel", "discover_models"),
    "discover.refs": ("ModelRef", "resolve_ref"),
    "doctor": ("run_doctor",),
    "errors": ("RocmError",),
    "gguf": ("GGUFInfo", "read_gguf", "read_model"),
    "gpu": ("Gpu", "Selection", "list_gpus", "select_gpus"),
    "memory.estimate": ("Companions", "Device", "MemoryEstimate", "estimate_memory"),
    "memory.fit": ("fit_model",),
    "model.ndjson": ("afrom_ndjson", "ato_ndjson", "from_ndjson", "to_ndjson"),
    "model.service": ("LlamaService",),
    "model.text_model": ("TextModel", "load_model"),
    "server": ("Server", "State"),
    "supervisor.metrics": ("Metrics", "snapshot"),
    "types": (
        "Check",
        "Message",
        "ModelInfo",
        "StreamEvent",
        "Timings",
        "Token",
        "ToolCallDelta",
        "Usage",
    ),
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"{__name__}.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
