"""Conversations as templates take them, and their length in tokens."""

from __future__ import annotations

from typing import Any

import pytest

from rocm_core import GenerateConfig, TextModel, load_model
from rocm_core.config import Engine
from rocm_core.errors import AuthenticationError, HTTPStatusError, ServerBusy, ServerLoading
from rocm_core.model.template.roles import Demands, fitted, questionable
from tests.support.models.reciter import CHAT_TEMPLATE, RECITER
from tests.support.servers.fake_server import FakeServer, Reply, answer

SYSTEM, LATE = {"role": "system", "content": "S"}, {"role": "system", "content": "L"}
USER, REPLY = {"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}
STRICT = (
    "{%- for m in messages %}{%- if m.role == 'system' and not loop.first %}"
    "{{ raise_exception('System message must be at the beginning.') }}{%- endif %}{%- endfor %}"
) + CHAT_TEMPLATE
CALL = {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}


def test_what_some_templates_refuse() -> None:
    assert not questionable([SYSTEM, USER, REPLY, USER])
    assert not questionable([SYSTEM, SYSTEM, USER])  # becomes one
    assert questionable([USER, LATE])
    assert questionable([USER, USER])


@pytest.mark.parametrize(
    ("given", "demands", "expected"),
    [
        ([SYSTEM, LATE, USER], Demands(), ["system:S\n\nL", "user:U"]),
        ([SYSTEM, USER, LATE], Demands(), ["system:S", "user:U", "system:L"]),
        ([SYSTEM, USER, LATE], Demands(leading_system=True), ["system:S\n\nL", "user:U"]),
        ([USER, LATE], Demands(leading_system=True), ["system:L", "user:U"]),
        ([SYSTEM, USER], Demands(no_system=True), ["user:S\n\nU"]),
        ([SYSTEM], Demands(no_system=True), ["user:S"]),
        (
            [USER, USER, REPLY, REPLY],
            Demands(alternating=True),
            ["user:U\n\nU", "assistant:A\n\nA"],
        ),
        ([USER, CALL, REPLY], Demands(alternating=True), ["user:U", "assistant:", "assistant:A"]),
        ([], Demands(alternating=True, no_system=True), []),
    ],
)
def test_fitting(given: list[dict[str, Any]], demands: Demands, expected: list[str]) -> None:
    before = [dict(message) for message in given]
    assert [f"{m['role']}:{m['content']}" for m in fitted(given, demands)] == expected
    assert given == before


def test_parts_are_joined_too() -> None:
    image = {"type": "image_url", "image_url": {"url": "x"}}
    [joined] = fitted([USER, {"role": "user", "content": [image]}], Demands(alternating=True))
    assert joined["content"] == [{"type": "text", "text": "U"}, image]


async def test_a_tolerant_template_gets_the_messages_as_they_are(model: TextModel) -> None:
    conversation = [USER, USER, LATE, USER]
    assert model.template.fit(conversation) == conversation
    assert await model.template.afit(conversation) == conversation


async def test_a_strict_template_gets_its_system_message_first(engine: Engine) -> None:
    with load_model(RECITER, engine=engine, chat_template=STRICT) as model:
        assert [m["role"] for m in model.template.fit([USER, LATE, USER])] == [
            "system",
            "user",
            "user",
        ]
        events = model.chat_events(await model.template.afit([USER, LATE]), GenerateConfig())
        assert "".join(event.text for event in events).startswith("Hello!")
        # As given, the template's own words come, and what they mean.
        with pytest.raises(HTTPStatusError, match="System.*chat template of the model does not"):
            list(model.chat([USER, LATE, USER]))


@pytest.mark.parametrize(
    "extra", [{}, {"tools": [{"type": "function", "function": {"name": "f"}}]}]
)
async def test_counts_are_those_of_the_server(model: TextModel, extra: dict[str, Any]) -> None:
    conversation = [SYSTEM, USER]
    counted = model.template.count(conversation, **extra)
    config = GenerateConfig(max_tokens=1)
    [usage] = [e.usage for e in model.chat_events(conversation, config, **extra) if e.usage]
    assert counted == usage.prompt_tokens
    assert await model.template.acount(conversation, **extra) == counted


@pytest.mark.parametrize(
    ("passing", "raised"),
    [
        (answer("error_503_no_slot.b11434", 503), ServerBusy),
        (answer("error_503_loading.b11434", 503), ServerLoading),
        (answer(b"<html>bad gateway</html>", 502), HTTPStatusError),
        (answer(b"<html>internal error</html>", 500), HTTPStatusError),
        (answer(b"slow down", 429), ServerBusy),
        (answer("error_401.b11434", 401), AuthenticationError),
    ],
    ids=["no slot", "loading", "gateway", "proxy", "limit", "key"],
)
async def test_what_passes_is_not_remembered_as_a_refusal_of_the_template(
    scripted: FakeServer, passing: Reply, raised: type[Exception]
) -> None:
    conversation = [USER, USER]
    tolerant = answer(b'{"prompt": "probe-1 probe-2 probe-3 probe-4"}')
    for replies in ((passing, tolerant), (tolerant, passing, tolerant)):
        scripted.script("/apply-template", *replies)
        with load_model(scripted.url) as model:
            with pytest.raises(raised):
                model.template.fit(conversation)
            assert await model.template.afit(conversation) == conversation


@pytest.mark.parametrize(
    "refusal",
    [
        answer(b'{"error": {"code": 400, "message": "x", "type": "invalid_request_error"}}', 400),
        answer(b'{"error": {"code": 500, "message": "roles", "type": "server_error"}}', 500),
    ],
    ids=["new", "old"],
)
def test_a_refusal_is_remembered(scripted: FakeServer, refusal: Reply) -> None:
    scripted.script("/apply-template", refusal)
    with load_model(scripted.url) as model:
        for _ in range(2):
            assert model.template.fit([USER, USER]) == [{"role": "user", "content": "U\n\nU"}]
    assert [request.path for request in scripted.requests].count("/apply-template") == 2


@pytest.mark.parametrize("status", [404, 405, 501])
def test_without_the_endpoint_the_messages_stay_as_they_are(
    scripted: FakeServer, status: int
) -> None:
    scripted.script("/apply-template", answer(b"not here", status))
    with load_model(scripted.url) as model:
        assert model.template.fit([USER, USER]) == [USER, USER]


async def test_an_older_server_counts_through_its_template_and_is_asked_once() -> None:
    with FakeServer() as server, load_model(server.url) as model:
        server.script("/props", answer("props.b11434"))
        server.script("/apply-template", answer(b'{"prompt": "abc"}'))
        server.script("/tokenize", answer(b'{"tokens": [1, 2, 3]}'))
        assert model.template.count([USER]) == 3
        asked = len(server.requests)
        assert await model.template.acount([USER]) == 3
        assert len(server.requests) == asked
        assert await model.template.acount([USER, REPLY]) == 3
