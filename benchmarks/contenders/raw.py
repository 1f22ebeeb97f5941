"""The least that Python can do, and the least that httpx can do."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import httpx

from benchmarks.contenders.base import HTTPX, Contender, Setting, Take, asynchronous
from benchmarks.script import text_of


def build(setting: Setting, stack: ExitStack) -> list[Contender]:
    """no library at all, and httpx."""
    client = stack.enter_context(httpx.Client(trust_env=False))
    url = f"{setting.url}/v1/chat/completions"
    return [
        Contender("raw socket + json", lambda take: _socket(setting, take)),
        asynchronous(setting, "raw asyncio + json", lambda take: _asyncio(setting, take)),
        Contender(HTTPX, lambda take: _httpx(client, url, body_of(setting), take)),
    ]


def openai(setting: Setting, stack: ExitStack) -> list[Contender]:
    """The openai SDK, which most adapters are made of."""
    import openai as sdk

    http: Any = stack.enter_context(httpx.Client(trust_env=False))
    client = sdk.OpenAI(base_url=f"{setting.url}/v1", api_key="none", http_client=http)
    return [Contender("openai SDK", lambda take: _sdk(client, setting, take))]


def body_of(setting: Setting) -> dict[str, Any]:
    """The request that everybody sends, more or less."""
    return {"messages": setting.messages, "stream": True, "stream_options": {"include_usage": True}}


def read(setting: Setting) -> Iterator[str]:
    """The answer's pieces, from a socket."""
    url = httpx.URL(setting.url)
    with socket.create_connection((url.host, url.port or 80)) as connection:
        connection.sendall(_request(url, setting))
        with connection.makefile("rb") as lines:
            for line in lines:  # the lines of the HTTP framing are passed over
                if line.startswith(b"data: {") and (text := text_of(line[6:])):
                    yield text


async def aread(setting: Setting) -> AsyncIterator[str]:
    """``read`` for asyncio."""
    url = httpx.URL(setting.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(_request(url, setting))
    async for line in reader:
        if line.startswith(b"data: {") and (text := text_of(line[6:])):
            yield text
    writer.close()


def _request(url: httpx.URL, setting: Setting) -> bytes:
    body = json.dumps(body_of(setting)).encode()
    line = f"POST {url.path}/v1/chat/completions HTTP/1.1"
    return f"{line}\r\nHost: {url.host}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _socket(setting: Setting, take: Take) -> None:
    for piece in read(setting):
        take(piece)


async def _asyncio(setting: Setting, take: Take) -> None:
    async for piece in aread(setting):
        take(piece)


def _httpx(client: httpx.Client, url: str, body: dict[str, Any], take: Take) -> None:
    with client.stream("POST", url, json=body) as response:
        for line in response.iter_lines():
            if line.startswith("data: {") and (text := text_of(line[6:])):
                take(text)


def _sdk(client: Any, setting: Setting, take: Take) -> None:
    stream = client.chat.completions.create(
        model="any",
        messages=setting.messages,
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        if chunk.choices and (text := chunk.choices[0].delta.content):
            take(text)
