"""The least that Python can do, and the least that httpx can do."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import httpx

from benchmarks.contenders.base import HTTPX, MESSAGES, Contender, Setting, Take
from benchmarks.script import text_of

_BODY = {"messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}}


def build(setting: Setting, stack: ExitStack) -> list[Contender]:
    """no library at all, and httpx."""
    client = stack.enter_context(httpx.Client(trust_env=False))
    url = f"{setting.url}/v1/chat/completions"
    return [
        Contender("raw socket + json", lambda take: _socket(setting, take)),
        Contender("raw asyncio + json", setting.blocking(lambda take: _asyncio(setting, take))),
        Contender(HTTPX, lambda take: _httpx(client, url, take)),
    ]


def read(setting: Setting) -> Iterator[str]:
    """The answer's pieces, from a socket."""
    url = httpx.URL(setting.url)
    with socket.create_connection((url.host, url.port or 80)) as connection:
        connection.sendall(_request(url))
        with connection.makefile("rb") as lines:
            for line in lines:  # the lines of the HTTP framing are passed over
                if line.startswith(b"data: {") and (text := text_of(line[6:])):
                    yield text


async def aread(setting: Setting) -> AsyncIterator[str]:
    """``read`` for asyncio."""
    url = httpx.URL(setting.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(_request(url))
    async for line in reader:
        if line.startswith(b"data: {") and (text := text_of(line[6:])):
            yield text
    writer.close()


def _request(url: httpx.URL) -> bytes:
    body = json.dumps(_BODY).encode()
    line = f"POST {url.path}/v1/chat/completions HTTP/1.1"
    return f"{line}\r\nHost: {url.host}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _socket(setting: Setting, take: Take) -> None:
    for piece in read(setting):
        take(piece)


async def _asyncio(setting: Setting, take: Take) -> None:
    async for piece in aread(setting):
        take(piece)


def _httpx(client: httpx.Client, url: str, take: Take) -> None:
    with client.stream("POST", url, json=_BODY) as response:
        for line in response.iter_lines():
            if line.startswith("data: {") and (text := text_of(line[6:])):
                take(text)
