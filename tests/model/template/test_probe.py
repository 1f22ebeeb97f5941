"""What is asked of a server about its template: nothing, or each probe once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rocm_core import Chat, GenerateConfig, load_model
from rocm_core.errors import AuthenticationError, ConfigError, HTTPStatusError, ServerBusy
from tests.support.histories import CALL, REPLY, RESULT, SYSTEM, TOOLS, USER, calling, result, text
from tests.support.servers.fake_server import FakeServer, Reply, answer, stream

PLAIN = [
    [USER],
    [SYSTEM, USER],
    [SYSTEM, SYSTEM, USER],
    [SYSTEM, USER, REPLY, USER],
    [USER, REPLY],
]
REFUSED = answer(b'{"error": {"code": 400, "message": "no", "type": "invalid_request_error"}}', 400)


def asked(server: FakeServer) -> list[dict[str, Any]]:
    """The bodies of the renders that were asked for."""
    return [r.body for r in server.requests if r.path == "/apply-template"]


def showing(*texts: str) -> Reply:
    """A render that shows these texts and nothing else."""
    return answer(json.dumps({"prompt": " ".join(texts)}).encode())


async def test_a_plain_conversation_costs_no_request(scripted: FakeServer) -> None:
    scripted.script("/v1/chat/completions", stream("chat_stream.b11434"))
    with load_model(scripted.url) as model:
        for conversation in PLAIN:
            model.template.fit(conversation, tools=True)
            list(model.events(Chat(conversation, GenerateConfig(), {}, fit_template=True)))
            await model.template.afit(conversation)
    assert asked(scripted) == []


async def test_each_probe_is_rendered_once(scripted: FakeServer) -> None:
    everything = ["probe-system probe-user probe_call_1 probe-argument-1 probe-result-1"]
    scripted.script("/apply-template", showing(*everything))
    with load_model(scripted.url) as model:
        for _ in range(2):
            assert model.template.fit([USER, CALL, RESULT]) == [USER, CALL, RESULT]
            assert await model.template.afit([USER, CALL, RESULT]) == [USER, CALL, RESULT]
        assert len(asked(scripted)) == 1
        # A template may treat a request with tools in another way.
        assert model.template.fit([USER, CALL, RESULT], tools=True) == [USER, CALL, RESULT]
    assert [bool(body.get("tools")) for body in asked(scripted)] == [False, True]


def test_tools_of_the_request_tell_which_renders_are_asked(scripted: FakeServer) -> None:
    scripted.script("/apply-template", answer(b"not here", 404))
    scripted.script("/v1/chat/completions", stream("chat_stream.b11434"))
    with load_model(scripted.url) as model:
        fields = {"tools": TOOLS}
        chat = Chat([USER, CALL, RESULT], GenerateConfig(), fields, fit_template=True)
        list(model.events(chat))
    assert [bool(body.get("tools")) for body in asked(scripted)] == [True]


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_without_the_endpoint_is_asked_once(scripted: FakeServer, status: int) -> None:
    scripted.script("/apply-template", answer(b"not here", status))
    parts = text("system", "ONE", "TWO")
    history = [parts, USER, calling("a", "b", beside="T"), RESULT, result("b"), USER, REPLY, REPLY]
    with load_model(scripted.url) as model:
        for _ in range(2):
            assert model.template.fit(history) == history
    assert len(asked(scripted)) == 1


def test_a_server_that_refuses_every_render_is_no_template_without_calls(
    scripted: FakeServer,
) -> None:
    scripted.script("/apply-template", REFUSED)
    with load_model(scripted.url) as model:
        assert model.template.fit([USER, CALL, RESULT]) == [USER, CALL, RESULT]


def test_a_template_that_refuses_calls_is_named(scripted: FakeServer) -> None:
    scripted.script("/apply-template", REFUSED, showing("probe-user"), REFUSED)
    with (
        load_model(scripted.url) as model,
        pytest.raises(ConfigError, match="no place for results of tools"),
    ):
        model.template.fit([USER, CALL, RESULT])


def test_calls_that_are_dropped_with_their_results_are_refused(scripted: FakeServer) -> None:
    # As granite 3.0's template does, whose capabilities promise tool calls.
    scripted.script("/apply-template", showing("probe-system", "probe-user"))
    with (
        load_model(scripted.url) as model,
        pytest.raises(ConfigError, match=r"results of tools.*another chat_template="),
    ):
        model.template.fit([USER, CALL, RESULT])


@pytest.mark.parametrize(
    ("passing", "raised"),
    [
        (answer("error_503_no_slot.b11434", 503), ServerBusy),
        (answer(b"<html>bad gateway</html>", 502), HTTPStatusError),
        (answer(b"<html>internal error</html>", 500), HTTPStatusError),
        (answer("error_401.b11434", 401), AuthenticationError),
    ],
    ids=["no slot", "gateway", "proxy", "key"],
)
async def test_what_passes_is_raised_and_not_remembered(
    scripted: FakeServer, passing: Reply, raised: type[Exception]
) -> None:
    everything = ["probe-system probe-user probe_call_1 probe-argument-1 probe-result-1"]
    scripted.script("/apply-template", passing, showing(*everything))
    with load_model(scripted.url) as model:
        with pytest.raises(raised):
            model.template.fit([USER, CALL, RESULT])
        assert await model.template.afit([USER, CALL, RESULT]) == [USER, CALL, RESULT]


def test_a_list_that_is_printed_as_json_was_not_read(scripted: FakeServer) -> None:
    printed = '[{"type": "text", "text": "probe-system-1"}, {"text": "probe-system-2"}] probe-user'
    scripted.script("/apply-template", showing(printed))
    with load_model(scripted.url) as model:
        sent = model.template.fit([text("system", "ONE", "TWO"), USER])
    assert sent == [text("system", "ONE\nTWO"), USER]


def test_a_list_of_one_text_is_the_text(scripted: FakeServer) -> None:
    one = {"role": "system", "content": [{"type": "text", "text": "SYSTEM"}]}
    with load_model(scripted.url) as model:
        assert model.template.fit([one, USER]) == [SYSTEM, USER]
    assert asked(scripted) == []


def test_pictures_stay_in_their_list(scripted: FakeServer) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    seen = {"role": "user", "content": [{"type": "text", "text": "What?"}, picture]}
    with load_model(scripted.url) as model:
        assert model.template.fit([SYSTEM, seen]) == [SYSTEM, seen]
    assert asked(scripted) == []
