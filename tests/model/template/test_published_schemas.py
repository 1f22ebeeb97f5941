"""Schemas on the chat templates of published models: an answer has its schema and a named tool is
called, whatever the model would rather say. Which templates those are: ``tests/README.md``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from rocm_core import Chat, GenerateConfig, StreamEvent, TextModel, load_model
from rocm_core.config import Engine
from rocm_core.requests import CallReader, schema_format, tool_request, unthinking
from tests.support.models.reciter import ANSWER, PIECES, RECITER
from tests.support.templates import template_names, template_text

pytestmark = pytest.mark.slow
ASK = [{"role": "user", "content": "Hi"}]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Berlin"]}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "The weather.", "parameters": SCHEMA},
}
FORMAT = {"response_format": schema_format(SCHEMA)}
NAMED = tool_request([TOOL], "weather")
CONFIG = GenerateConfig(max_tokens=100)
# Handlers of llama.cpp that make no grammar of a schema.
UNHELD = {
    *("GigaChat3-10B-A1.8B", "Kimi-K2-Instruct", "Kimi-K2-Thinking", "Kimi-K3"),
    *("meetkai-functionary-medium-v3.2", "moonshotai-Kimi-K2"),
}
UNHELD_WITH_TOOLS = UNHELD | {"LFM2-8B-A1B", "LFM2.5-8B-A1B", "LFM2.5-Instruct"}
UNHELD_BESIDE_TOOLS = UNHELD | {"deepseek-ai-DeepSeek-V3.2", "deepseek-ai-DeepSeek-V4"}
# The reciter never ends the thoughts that these demand or allow before the answer.
ENDLESS = {"Apriel-1.6-15b-Thinker-fixed", "openai-gpt-oss-120b"}


def written(events: Iterable[StreamEvent]) -> tuple[str, str, str]:
    """The text, the thoughts, and the calls as ``name(arguments)``."""
    text = thoughts = called = ""
    for event in events:
        text += event.text
        thoughts += event.reasoning
        for call in event.tool_calls:
            called += f"{call.name} " if call.name else ""
            called += call.arguments
    return text, thoughts, called


def compact(text: str) -> str:
    """JSON without white space."""
    return json.dumps(json.loads(text), separators=(",", ":"))


def test_an_answer_has_its_schema(published: TextModel, name: str) -> None:
    text, thoughts, called = written(published.events(Chat(ASK, CONFIG, unthinking(FORMAT))))
    if name not in ENDLESS:
        assert (compact(text), called) == ('{"city":"Berlin"}', "")
        assert PIECES[0] not in thoughts
    assert published.template._enforcement
    assert published.template._enforcement._holds[False] is (name not in UNHELD)


def test_an_answer_has_its_schema_beside_tools(published: TextModel, name: str) -> None:
    fields = unthinking({**FORMAT, "tools": [TOOL], "tool_choice": "none"})
    text, _, called = written(published.events(Chat(ASK, CONFIG, fields)))
    if name not in ENDLESS:
        assert (compact(text), called) == ('{"city":"Berlin"}', "")
    assert published.template._enforcement
    assert published.template._enforcement._holds["none"] is (name not in UNHELD_BESIDE_TOOLS)


async def test_a_named_tool_is_called(published: TextModel, name: str) -> None:
    fields = {**unthinking(NAMED.fields), "parallel_tool_calls": False}
    for _ in range(2):
        reader = CallReader(NAMED)
        stream: AsyncIterator[StreamEvent] = published.aevents(Chat(ASK, CONFIG, fields))
        events = [reader.read(event) async for event in stream]
        if name in ENDLESS:
            break
        reader.verify()
        text, _, called = written(events)
        tool, _, arguments = called.partition(" ")
        assert (text, tool, compact(arguments)) == ("", "weather", '{"city":"Berlin"}')
        assert [e.finish_reason for e in events if e.finish_reason] == ["tool_calls"]
        assert any(event.usage for event in events)
    assert published.template._enforcement
    assert published.template._enforcement._holds[True] is (name not in UNHELD_WITH_TOOLS)


@pytest.mark.skipif("Kimi-K3" not in template_names(), reason="its template is not here")
@pytest.mark.parametrize("fields", [FORMAT, NAMED.fields], ids=["format", "named"])
async def test_thoughts_may_come_first(engine: Engine, fields: dict[str, Any]) -> None:
    """This template's prompt opens thoughts, and the reciter ends them as its text ends."""
    request = Chat(ASK, CONFIG, fields)
    with load_model(RECITER, engine=engine, chat_template=template_text("Kimi-K3")) as model:
        for events in (list(model.events(request)), [e async for e in model.aevents(request)]):
            text, thoughts, _ = written(events)
            assert compact(text) == '{"city":"Berlin"}'
            assert thoughts == ANSWER
