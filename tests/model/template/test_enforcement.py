"""The way of an answer with a schema: through the chat endpoint, or past it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rocm_core import Chat, GenerateConfig, TextModel, load_model
from rocm_core.client import Call, run_steps
from rocm_core.config import Engine
from rocm_core.errors import HTTPStatusError, ServerBusy
from rocm_core.model.template.enforcement import as_completion, chat_holds
from rocm_core.requests import schema_format, unthinking
from tests.support.models.reciter import RECITER
from tests.support.templates import UNHELD

ASK = [{"role": "user", "content": "Hi"}]
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string", "enum": ["b"]}},
    "required": ["a"],
}
FORMAT = {"response_format": schema_format(SCHEMA)}


def showing(settings: Any) -> Callable[[Call[Any]], Any]:
    """A server that shows these settings of a request."""
    return lambda call: call.read(json.dumps(settings).encode())


def shown(grammar: str, **more: Any) -> Any:
    """The answer of a llama-server that is asked to be verbose."""
    return {"__verbose": {"generation_settings": {"grammar": grammar, **more}}}


@pytest.mark.parametrize(
    ("answered", "holds"),
    [
        (shown('root ::= "Zq7Mark"'), True),
        (shown('%llguidance {}\nstart: %json {"const": "Zq7Mark"}'), True),
        (shown('root ::= "Zq7Mark"', grammar_lazy=True), False),
        (shown("root ::= tool-probe-schema"), False),
        (shown(""), False),
        ({"choices": []}, True),  # a server of another kind, or an old one: it does as it did
        ([], True),
    ],
)
@pytest.mark.parametrize("tools", [False, True])
def test_a_schema_holds_if_it_is_in_the_grammar(answered: Any, holds: bool, tools: bool) -> None:
    assert run_steps(chat_holds(tools), showing(answered)) is holds
    assert run_steps(chat_holds(tools, called=False), showing(answered)) is holds


@pytest.mark.parametrize(
    ("error", "holds"),
    [
        (
            HTTPStatusError("output does not match the expected peg-native format", status=500),
            False,
        ),
        (HTTPStatusError("verbose: unknown field", status=400), True),
        (HTTPStatusError("not found", status=404), True),
    ],
)
def test_what_an_error_says_about_it(error: HTTPStatusError, holds: bool) -> None:
    def failing(call: Call[Any]) -> Any:
        raise error

    assert run_steps(chat_holds(False), failing) is holds


@pytest.mark.parametrize(
    "error", [ServerBusy("full", status=503), HTTPStatusError("x", status=500)]
)
def test_a_server_in_trouble_says_nothing_about_it(error: HTTPStatusError) -> None:
    def failing(call: Call[Any]) -> Any:
        raise error

    with pytest.raises(HTTPStatusError):
        run_steps(chat_holds(True), failing)


def test_the_answer_begins_where_the_template_lets_it_begin() -> None:
    def render(call: Call[Any]) -> str:
        prompt = ""
        for message in call.body["messages"]:
            if message["role"] == "assistant":
                made = message.get("tool_calls")
                prompt += (
                    f">>>all\n{message['content']}"
                    if not made
                    else ">>>f\n" + (made[0]["function"]["arguments"])
                )
            else:
                prompt += f"<{message['content']}>"
        return prompt + (">>>" if call.body["messages"][-1]["role"] == "user" else "")

    plain = Chat(ASK, GenerateConfig(max_tokens=9), {**FORMAT, "logprobs": True, "lora": []})
    found = run_steps(as_completion(plain, SCHEMA), render)
    assert found.prompt == "<Hi>>>>all\n"
    assert found.config.json_schema == SCHEMA and found.config.max_tokens == 9
    assert found.config.extra == {"n_probs": 20, "lora": []}
    tool = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
    named = {"response_format": schema_format(SCHEMA, "f"), "tool_choice": "required"}
    forced = Chat(ASK, GenerateConfig(), {**named, "tools": [tool], "parallel_tool_calls": False})
    assert run_steps(as_completion(forced, SCHEMA), render).prompt == "<Hi>>>>f\n"
    assert run_steps(as_completion(forced, SCHEMA), render).config.extra == {}


def test_thoughts_that_the_prompt_opens_are_closed() -> None:
    found = run_steps(
        as_completion(Chat(ASK, GenerateConfig(), FORMAT), SCHEMA), lambda call: "Hi<think>\n"
    )
    assert found.prompt == "Hi<think>\n</think>"


@pytest.fixture(scope="module")
def unheld(engine: Engine) -> Any:
    """A model whose template's handler makes no grammar of a schema."""
    with load_model(RECITER, engine=engine, chat_template=UNHELD) as model:
        model.load()
        yield model


async def test_an_answer_has_its_schema_all_the_same(unheld: TextModel) -> None:
    request = Chat(ASK, GenerateConfig(max_tokens=40), unthinking(FORMAT))
    for events in (list(unheld.events(request)), [e async for e in unheld.aevents(request)]):
        assert json.loads("".join(event.text for event in events)) == {"a": "b"}
        assert len(events) > 2, "it is streamed"
        assert events[-1].usage and events[-1].finish_reason == "stop"


def test_the_probe_is_sent_once_and_only_for_a_schema(unheld: TextModel) -> None:
    unheld.template._enforcement = None
    list(unheld.events(Chat(ASK, GenerateConfig(max_tokens=1))))
    assert unheld.template._enforcement is None
    for _ in range(2):
        list(unheld.events(Chat(ASK, GenerateConfig(max_tokens=40), unthinking(FORMAT))))
    known: Any = unheld.template._enforcement
    assert known._holds == {False: False}
