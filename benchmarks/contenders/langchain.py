"""LangChain's chat models."""

from __future__ import annotations

import importlib
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from benchmarks.contenders.base import Contender, Setting, Take

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

FLOOR = "LangChain's floor, stream"
AFLOOR = "LangChain's floor, astream"


def _floor(setting: Setting, stack: ExitStack) -> list[Contender]:
    """LangChain's floor."""
    from benchmarks.contenders.fake_langchain import FakeChat

    return _both(FLOOR, AFLOOR, FakeChat(setting=setting), setting)


def _ours(setting: Setting, stack: ExitStack) -> list[Contender]:
    """ChatRocm."""
    from langchain_rocm import ChatRocm

    chat = ChatRocm(base_url=setting.url)
    stack.callback(chat.close)
    return _both("ChatRocm.stream", "ChatRocm.astream", chat, setting)


def _openai(setting: Setting, stack: ExitStack) -> list[Contender]:
    """ChatOpenAI."""
    import httpx
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    async_client = httpx.AsyncClient(trust_env=False)
    stack.callback(lambda: setting.loop.run_until_complete(async_client.aclose()))
    chat = ChatOpenAI(
        model="demo",
        base_url=f"{setting.url}/v1",
        api_key=SecretStr("none"),
        stream_usage=True,
        http_client=stack.enter_context(httpx.Client(trust_env=False)),
        http_async_client=async_client,
    )
    return _both("ChatOpenAI.stream", "ChatOpenAI.astream", chat, setting)


def _ollama(setting: Setting, stack: ExitStack) -> list[Contender]:
    """ChatOllama."""
    package: Any = importlib.import_module("langchain_ollama")
    options = {"trust_env": False}
    chat = package.ChatOllama(model="demo", base_url=setting.url, client_kwargs=options)
    stack.callback(lambda: setting.loop.run_until_complete(chat._async_client._client.aclose()))
    stack.callback(chat._client._client.close)
    return _both("ChatOllama.stream", "ChatOllama.astream", chat, setting)


def _both(name: str, aname: str, chat: BaseChatModel, setting: Setting) -> list[Contender]:
    return [
        Contender(name, lambda take: _stream(chat, take), FLOOR),
        Contender(aname, setting.blocking(lambda take: _astream(chat, take)), AFLOOR),
    ]


def _stream(chat: BaseChatModel, take: Take) -> None:
    for chunk in chat.stream("Hello"):
        take(str(chunk.content))


async def _astream(chat: BaseChatModel, take: Take) -> None:
    async for chunk in chat.astream("Hello"):
        take(str(chunk.content))


BUILDERS = (_floor, _ours, _openai, _ollama)
