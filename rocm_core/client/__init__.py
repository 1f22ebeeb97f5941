"""HTTP and SSE to any llama-server. No process, no GPU, no framework types."""

from rocm_core.client.aio import AsyncClient
from rocm_core.client.base import ClientSettings
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
