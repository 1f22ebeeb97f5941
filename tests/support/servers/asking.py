"""Asking a new client of either kind, and what its scripted server says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from rocm_core.client import AsyncClient, Client
from rocm_core.config import Timeouts
from rocm_core.types import Message, StreamEvent
from tests.support.servers.fake_server import PATIENCE, FakeServer

HI = [Message("user", "Hi")]
DEMO_TEXT = "Hello! I am the small demo model"
NEVER = Timeouts(connect=None, first_token=None, idle=None, total=None)

Ask = Callable[..., Any]


def ask_sync(settings: Mapping[str, Any], method: str, *args: Any, **options: Any) -> Any:
    with Client(**settings) as client:
        result = getattr(client, method)(*args, **options)
        return list(result) if isinstance(result, Iterator) else result


def ask_async(settings: Mapping[str, Any], method: str, *args: Any, **options: Any) -> Any:
    async def ask() -> Any:
        async with AsyncClient(**settings) as client:
            result = getattr(client, method)(*args, **options)
            if isinstance(result, AsyncIterator):
                return [event async for event in result]
            return await result

    return asyncio.run(ask())


def at(server: FakeServer, **settings: Any) -> dict[str, Any]:
    return {"base_url": server.url, **settings}


def text_of(events: list[StreamEvent]) -> str:
    return "".join(event.text for event in events)


def hung_up(server: FakeServer) -> bool:
    return server.request().disconnected.wait(PATIENCE)


async def ahung_up(server: FakeServer) -> bool:
    return await asyncio.to_thread(hung_up, server)
