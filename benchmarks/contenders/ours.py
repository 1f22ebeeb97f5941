"""Our own floors, from the decoder up to the model."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from contextlib import ExitStack

from benchmarks.contenders.base import Contender, Setting, Take, asynchronous
from benchmarks.script import writes
from rocm_core import AsyncClient, Client, GenerateConfig, StreamEvent, load_model
from rocm_core.client import StreamDecoder

_CONFIG = GenerateConfig()


def build(setting: Setting, stack: ExitStack) -> list[Contender]:
    """rocm_core."""
    body = writes(setting.chunks)
    client = stack.enter_context(Client(setting.url))
    aclient = AsyncClient(setting.url)
    stack.callback(lambda: setting.loop.run_until_complete(aclient.aclose()))
    model = stack.enter_context(load_model(setting.url))
    said = setting.messages
    return [
        Contender("StreamDecoder, in memory", lambda take: _decode(body, take)),
        Contender("Client.chat", lambda take: _chat(client.chat(said), take)),
        asynchronous(setting, "AsyncClient.chat", lambda take: _achat(aclient.chat(said), take)),
        Contender(
            "TextModel.chat_events", lambda take: _chat(model.chat_events(said, _CONFIG), take)
        ),
        asynchronous(
            setting,
            "TextModel.achat_events",
            lambda take: _achat(model.achat_events(said, _CONFIG), take),
        ),
    ]


def _decode(body: list[bytes], take: Take) -> None:
    decoder = StreamDecoder()
    for read in body:
        for event in decoder.feed(read):
            take(event.text)


def _chat(events: Iterable[StreamEvent], take: Take) -> None:
    for event in events:
        take(event.text)


async def _achat(events: AsyncIterable[StreamEvent], take: Take) -> None:
    async for event in events:
        take(event.text)
