"""HTTP and SSE to any llama-server. No process, no GPU, no framework types.

What sends requests is imported when somebody asks for it, and ``httpx`` with it; data is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rocm_core.client.calls import Call, Messages, StreamCall, as_message
from rocm_core.client.cancellation import CancelScope, cancel_scope
from rocm_core.client.deadline import Deadline
from rocm_core.client.generation_requests import (
    Chat,
    Completion,
    GenerationRequest,
    Infill,
    RequestFor,
)
from rocm_core.client.steps import Steps, arun_steps, run_steps
from rocm_core.client.stream.events import StreamDecoder

if TYPE_CHECKING:
    from rocm_core.client.aio import AsyncClient
    from rocm_core.client.base import ClientSettings
    from rocm_core.client.sync import Client

__all__ = [
    "AsyncClient",
    "Call",
    "CancelScope",
    "Chat",
    "Client",
    "ClientSettings",
    "Completion",
    "Deadline",
    "GenerationRequest",
    "Infill",
    "Messages",
    "RequestFor",
    "Steps",
    "StreamCall",
    "StreamDecoder",
    "arun_steps",
    "as_message",
    "cancel_scope",
    "run_steps",
]

_HOMES = {"AsyncClient": "aio", "Client": "sync", "ClientSettings": "base"}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
