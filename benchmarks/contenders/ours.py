"""Our own floors, from the decoder up to the model."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.contenders.base import MESSAGES, Contender, Setting, Take
from benchmarks.script import writes
from rocm_core import AsyncClient, Client, GenerateConfig, TextModel, load_model
from rocm_core.client import StreamDecoder

_CONFIG = GenerateConfig()


def build(setting: Setting, stack: ExitStack) -> list[Contender]:
    """rocm_core."""
    body = writes(setting.chunks)
    client = stack.enter_context(Client(setting.url))
    aclient = AsyncClient(setting.url)
    stack.callback(lambda: setting.loop.run_until_complete(aclient.aclose()))
    model = stack.enter_context(load_model(setting.url))
    return [
        Contender("StreamDecoder, in memory", lambda take: _decode(body, take)),
        Contender("Client.chat", lambda take: _chat(client, take)),
        Contender("AsyncClient.chat", setting.blocking(lambda take: _achat(aclient, take))),
        Contender("TextModel.chat_events", lambda take: _model(model, take)),
        Contender("TextModel.achat_events", setting.blocking(lambda take: _amodel(model, take))),
    ]


def _decode(body: list[bytes], take: Take) -> None:
    decoder = StreamDecoder()
    for read in body:
        for event in decoder.feed(read):
            take(event.text)


def _chat(client: Client, take: Take) -> None:
    for event in client.chat(MESSAGES):
        take(event.text)


async def _achat(client: AsyncClient, take: Take) -> None:
    async for event in client.chat(MESSAGES):
        take(event.text)


def _model(model: TextModel, take: Take) -> None:
    for event in model.chat_events(MESSAGES, _CONFIG):
        take(event.text)


async def _amodel(model: TextModel, take: Take) -> None:
    async for event in model.achat_events(MESSAGES, _CONFIG):
        take(event.text)
