"""``coalesce=True``: a busy consumer gets one event for what arrived meanwhile, and all of it."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_rocm import ChatRocm
from rocm_core import TextModel
from rocm_core.client.calls import chat, completion
from rocm_core.client.stream.events import StreamDecoder
from rocm_core.config import GenerateConfig
from rocm_core.errors import RocmError
from rocm_core.types import StreamEvent
from tests.support.leftovers import abusy, assert_freed
from tests.support.models.reciter import PIECES, RECITER
from tests.support.servers.fake_server import capture, captured_streams

HELLO = [{"role": "user", "content": "Hello"}]
MANY: dict[str, Any] = {"max_tokens": 200, "ignore_eos": True}
FEW = 190
"""Without joining there are more than 200. Most often it is a few; what the socket could not hold
comes as the consumer reads on."""


def said(events: list[StreamEvent]) -> list[object]:
    """All that the events say, whatever its pieces."""
    logprobs = [entry for event in events for entry in event.logprobs or ()]
    return [
        "".join(event.text for event in events),
        "".join(event.reasoning for event in events),
        sum((event.token_ids for event in events), ()),
        [call for event in events for call in event.tool_calls],
        [entry.get("token") or entry.get("content") for entry in logprobs],
        [getattr(e, n) for e in events for n in ("finish_reason", "usage", "timings") if e.usage],
    ]


def decoded(name: str, *, coalesce: bool, size: int) -> tuple[list[StreamEvent], str]:
    """The events of a captured stream that comes ``size`` bytes at a time, and its failure."""
    decoder, events, body = StreamDecoder(coalesce=coalesce), [], capture(name)
    try:
        for at in range(0, len(body), size):
            for event in decoder.feed(body[at : at + size]):
                events.append(event)  # one by one: those before a failure count
        events += decoder.close()
    except RocmError as error:
        return events, str(error)
    return events, ""


@pytest.mark.parametrize("size", [1_000_000, 700, 50])
@pytest.mark.parametrize("name", captured_streams())
def test_nothing_is_lost(name: str, size: int) -> None:
    whole, failure = decoded(name, coalesce=False, size=size)
    joined, same_failure = decoded(name, coalesce=True, size=size)
    assert said(joined) == said(whole)
    assert same_failure == failure
    assert len(joined) <= len(whole)


def test_what_one_read_brings_is_one_event() -> None:
    events, _ = decoded("chat_stream.b11434", coalesce=True, size=1_000_000)
    assert [event.text for event in events if event.text] == ["Hello! I am the small demo model"]
    events, _ = decoded("chat_stream_reasoning.b11434", coalesce=True, size=1_000_000)
    assert len([event for event in events if event.reasoning]) == 1


def test_thoughts_calls_and_the_end_stay_apart() -> None:
    events, _ = decoded("chat_stream_tools.b11434", coalesce=True, size=1_000_000)
    assert not [e for e in events if e.text and (e.reasoning or e.tool_calls or e.finish_reason)]


def test_it_is_off_where_every_token_counts() -> None:
    joining = GenerateConfig(coalesce=True)
    assert completion("x", joining).coalesce
    assert not completion("x", GenerateConfig()).coalesce
    assert not completion("x", GenerateConfig(coalesce=True, stop_token_ids=[5])).coalesce
    assert not chat(HELLO, joining, n=2).coalesce
    assert "coalesce" not in completion("x", joining).body


def test_a_busy_consumer_gets_few_events(model: TextModel) -> None:
    plain = list(model.chat_events(HELLO, GenerateConfig(**MANY)))
    stream = model.chat_events(HELLO, GenerateConfig(**MANY, coalesce=True))
    first = next(stream)
    assert_freed(model, 30)  # the server has written everything meanwhile
    rest = list(stream)
    assert said([first, *rest])[0] == said(plain)[0]
    assert len(rest) < FEW


async def test_a_busy_consumer_gets_few_events_in_asyncio(model: TextModel) -> None:
    stream = model.achat_events(HELLO, GenerateConfig(**MANY, coalesce=True))
    first = await anext(stream)
    while await abusy(model):
        pass
    rest = [event async for event in stream]
    assert said([first, *rest])[0].count(PIECES[0]) > 1  # type: ignore[attr-defined]
    assert len(rest) < FEW


def test_an_adapter_takes_the_option(model: TextModel) -> None:
    chat_model = ChatRocm(model=RECITER, engine="embedded", coalesce=True)
    whole = chat_model.invoke("Hello", **MANY)
    pieces = chat_model.stream("Hello", **MANY)
    first = next(pieces)
    assert_freed(chat_model, 30)
    rest = list(pieces)
    assert first.text + "".join(chunk.text for chunk in rest) == whole.text
    assert len(rest) < FEW
    chat_model.close()
