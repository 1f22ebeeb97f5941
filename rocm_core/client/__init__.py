"""Floor 1: HTTP and SSE to any llama-server. No process, no GPU, no framework types."""

from rocm_core.client.aio import AsyncClient
from rocm_core.client.base import ClientSettings
from rocm_core.client.calls import Call, Messages, StreamCall
from rocm_core.client.events import StreamDecoder
from rocm_core.client.sync import Client

__all__ = [
    "AsyncClient",
    "Call",
    "Client",
    "ClientSettings",
    "Messages",
    "StreamCall",
    "StreamDecoder",
]
