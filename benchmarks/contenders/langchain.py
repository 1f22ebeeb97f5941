"""LangChain's chat models: chunks, and the events of ``stream_events(version="v3")``."""

from __future__ import annotations

import importlib
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from benchmarks.contenders.base import Contender, Setting, Take, asynchronous

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

FLOOR = "LangChain's floor, stream"
AFLOOR = "LangChain's floor, astream"
NATIVE_FLOOR = "LangChain's floor, native v3 events"


def floor(setting: Setting, stack: ExitStack) -> list[Contender]:
    """A model that costs nothing; once more with the hook for v3 events of its own."""
    from benchmarks.contenders.fake_langchain import FakeChat, FakeNativeChat

    native = FakeNativeChat(setting=setting)
    return [
        *_all("LangChain's floor, {}", FakeChat(setting=setting), setting),
        Contender(NATIVE_FLOOR, lambda take: _events(native, setting.turns, take), FLOOR),
    ]


def ours(setting: Setting, stack: ExitStack) -> list[Contender]:
    """Ours."""
    from langchain_rocm import ChatRocm

    chat = ChatRocm(base_url=setting.url)
    stack.callback(chat.close)
    return _all("ChatRocm.{}", chat, setting)


def openai(setting: Setting, stack: ExitStack) -> list[Contender]:
    """The openai SDK underneath."""
    from langchain_openai import ChatOpenAI

    return _all("ChatOpenAI.{}", ChatOpenAI(**openai_options(setting, stack)), setting)


def llama_server(setting: Setting, stack: ExitStack) -> list[Contender]:
    """The one other adapter for llama-server, on top of ChatOpenAI's base."""
    package: Any = importlib.import_module("langchain_llama_server")
    chat = package.ChatLlamaServer(quiet=True, **openai_options(setting, stack))
    return _all("ChatLlamaServer.{}", chat, setting)


def llama(setting: Setting, stack: ExitStack) -> list[Contender]:
    """``langchain-llama-cpp``: an adapter of its own, on httpx's lines."""
    import httpx

    package: Any = importlib.import_module("langchain_llama_cpp")
    async_client = httpx.AsyncClient(trust_env=False, timeout=None)
    stack.callback(lambda: setting.loop.run_until_complete(async_client.aclose()))
    chat = package.ChatLlama(
        model="any",
        base_url=setting.url,
        http_client=stack.enter_context(httpx.Client(trust_env=False, timeout=None)),
        http_async_client=async_client,
    )
    return _all("ChatLlama.{}", chat, setting)


def ollama(setting: Setting, stack: ExitStack) -> list[Contender]:
    """Ollama's dialect: NDJSON."""
    package: Any = importlib.import_module("langchain_ollama")
    options = {"trust_env": False}
    chat = package.ChatOllama(model="any", base_url=setting.url, client_kwargs=options)
    stack.callback(lambda: setting.loop.run_until_complete(chat._async_client._client.aclose()))
    stack.callback(chat._client._client.close)
    return _all("ChatOllama.{}", chat, setting)


def openai_options(setting: Setting, stack: ExitStack) -> dict[str, Any]:
    """Arguments of ChatOpenAI; ``stack`` closes its clients."""
    import httpx
    from pydantic import SecretStr

    async_client = httpx.AsyncClient(trust_env=False)
    stack.callback(lambda: setting.loop.run_until_complete(async_client.aclose()))
    return {
        "model": "any",
        "base_url": f"{setting.url}/v1",
        "api_key": SecretStr("none"),
        "stream_usage": True,
        "http_client": stack.enter_context(httpx.Client(trust_env=False)),
        "http_async_client": async_client,
    }


def _all(name: str, chat: BaseChatModel, setting: Setting) -> list[Contender]:
    turns = setting.turns
    return [
        Contender(name.format("stream"), lambda take: _stream(chat, turns, take), FLOOR),
        asynchronous(
            setting, name.format("astream"), lambda take: _astream(chat, turns, take), AFLOOR
        ),
        Contender(name.format("v3 events"), lambda take: _events(chat, turns, take), FLOOR),
    ]


def _stream(chat: BaseChatModel, turns: Any, take: Take) -> None:
    for chunk in chat.stream(turns):
        take(str(chunk.content))


async def _astream(chat: BaseChatModel, turns: Any, take: Take) -> None:
    async for chunk in chat.astream(turns):
        take(str(chunk.content))


def _events(chat: BaseChatModel, turns: Any, take: Take) -> None:
    events: Any = chat.stream_events(turns, version="v3")
    for event in events:
        if event["event"] == "content-block-delta":
            take(event["delta"]["text"])
