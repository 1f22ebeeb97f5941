"""LlamaIndex's LLMs."""

from __future__ import annotations

import importlib
from contextlib import ExitStack
from typing import Any

from benchmarks.contenders.base import Contender, Setting, Take

FLOOR = "LlamaIndex's floor, stream_chat"
AFLOOR = "LlamaIndex's floor, astream_chat"


def _floor(setting: Setting, stack: ExitStack) -> list[Contender]:
    """LlamaIndex's floor."""
    from benchmarks.contenders.fake_llamaindex import FakeLLM

    return _both(FLOOR, AFLOOR, FakeLLM(setting=setting), setting)


def _ours(setting: Setting, stack: ExitStack) -> list[Contender]:
    """llama_index_rocm.RocmLLM."""
    from llama_index_rocm import RocmLLM

    llm = RocmLLM(base_url=setting.url)
    stack.callback(llm.close)
    return _both("RocmLLM.stream_chat", "RocmLLM.astream_chat", llm, setting)


def _openai(setting: Setting, stack: ExitStack) -> list[Contender]:
    """OpenAILike."""
    import httpx

    package: Any = importlib.import_module("llama_index.llms.openai_like")
    async_client = httpx.AsyncClient(trust_env=False)
    stack.callback(lambda: setting.loop.run_until_complete(async_client.aclose()))
    llm = package.OpenAILike(
        model="demo",
        api_base=f"{setting.url}/v1",
        api_key="none",
        is_chat_model=True,
        http_client=stack.enter_context(httpx.Client(trust_env=False)),
        async_http_client=async_client,
    )
    return _both("OpenAILike.stream_chat", "OpenAILike.astream_chat", llm, setting)


def _both(name: str, aname: str, llm: Any, setting: Setting) -> list[Contender]:
    return [
        Contender(name, lambda take: _stream(llm, take), FLOOR),
        Contender(aname, setting.blocking(lambda take: _astream(llm, take)), AFLOOR),
    ]


def _stream(llm: Any, take: Take) -> None:
    from llama_index.core.llms import ChatMessage

    for response in llm.stream_chat([ChatMessage(content="Hello")]):
        take(response.delta)


async def _astream(llm: Any, take: Take) -> None:
    from llama_index.core.llms import ChatMessage

    async for response in await llm.astream_chat([ChatMessage(content="Hello")]):
        take(response.delta)


BUILDERS = (_floor, _ours, _openai)
