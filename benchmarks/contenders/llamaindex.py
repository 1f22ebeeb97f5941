"""LlamaIndex's LLMs."""

from __future__ import annotations

import importlib
from contextlib import ExitStack
from typing import Any

from benchmarks.contenders.base import Contender, Setting, Take, asynchronous

FLOOR = "LlamaIndex's floor, stream_chat"
AFLOOR = "LlamaIndex's floor, astream_chat"


def floor(setting: Setting, stack: ExitStack) -> list[Contender]:
    """A model that costs nothing."""
    from benchmarks.contenders.fake_llamaindex import FakeLLM

    return _both(FLOOR, AFLOOR, FakeLLM(setting=setting), setting)


def ours(setting: Setting, stack: ExitStack) -> list[Contender]:
    """Ours."""
    from llama_index_rocm import RocmLLM

    llm = RocmLLM(base_url=setting.url)
    stack.callback(llm.close)
    return _both("RocmLLM.stream_chat", "RocmLLM.astream_chat", llm, setting)


def openai(setting: Setting, stack: ExitStack) -> list[Contender]:
    """The openai SDK underneath."""
    llm = openai_like(setting, stack)
    return _both("OpenAILike.stream_chat", "OpenAILike.astream_chat", llm, setting)


def openai_like(setting: Setting, stack: ExitStack, **options: Any) -> Any:
    """``OpenAILike``; ``stack`` closes its clients."""
    import httpx

    package: Any = importlib.import_module("llama_index.llms.openai_like")
    async_client = httpx.AsyncClient(trust_env=False)
    stack.callback(lambda: setting.loop.run_until_complete(async_client.aclose()))
    return package.OpenAILike(
        model="any",
        api_base=f"{setting.url}/v1",
        api_key="none",
        is_chat_model=True,
        http_client=stack.enter_context(httpx.Client(trust_env=False)),
        async_http_client=async_client,
        **options,
    )


def ollama(setting: Setting, stack: ExitStack) -> list[Contender]:
    """Ollama's dialect: NDJSON."""
    package: Any = importlib.import_module("llama_index.llms.ollama")
    client: Any = importlib.import_module("ollama")
    llm = package.Ollama(
        model="any",
        base_url=setting.url,
        context_window=4096,
        client=client.Client(host=setting.url, trust_env=False),
        async_client=client.AsyncClient(host=setting.url, trust_env=False),
    )
    stack.callback(lambda: setting.loop.run_until_complete(llm.async_client._client.aclose()))
    stack.callback(llm.client._client.close)
    return _both("LlamaIndex Ollama.stream_chat", "LlamaIndex Ollama.astream_chat", llm, setting)


def _both(name: str, aname: str, llm: Any, setting: Setting) -> list[Contender]:
    from llama_index.core.llms import ChatMessage

    said = [ChatMessage(content=text, role=role) for role, text in setting.turns]
    return [
        Contender(name, lambda take: _stream(llm, said, take), FLOOR),
        asynchronous(setting, aname, lambda take: _astream(llm, said, take), AFLOOR),
    ]


def _stream(llm: Any, said: list[Any], take: Take) -> None:
    for response in llm.stream_chat(said):
        take(response.delta)


async def _astream(llm: Any, said: list[Any], take: Take) -> None:
    async for response in await llm.astream_chat(said):
        take(response.delta)
