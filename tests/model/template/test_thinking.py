"""Which variables a request gets, by what renders of a template show; without a server."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from rocm_core.client import Call, run_steps
from rocm_core.client.answers import read_props
from rocm_core.errors import ConfigError, HTTPStatusError, ServerBusy
from rocm_core.model.template.variables import Variables
from rocm_core.model.template.variables.switches import opening
from rocm_core.requests import reasoning_fields, unthinking

ASK = [{"role": "user", "content": "Hi"}]
THOUGHT = [*ASK, {"role": "assistant", "content": "A", "reasoning_content": "T"}, *ASK]
Render = Callable[[Mapping[str, Any], str], str]


@dataclass
class Template:
    """A template as a function of its variables and the texts of the messages."""

    render: Render
    text: str = "{# enable_thinking thinking thinking_mode reasoning_effort /no_think #}"
    caps: dict[str, bool] = field(default_factory=dict)
    asked: list[Mapping[str, Any]] = field(default_factory=list)
    known: Variables = field(default_factory=Variables)
    displacing: bool = False

    def perform(self, call: Call[Any]) -> Any:
        """Answer as llama-server does."""
        self.asked.append(call.body)
        if call.path == "/tokenize":
            return call.read(orjson.dumps({"tokens": list(call.body["content"].encode())}))
        kwargs = call.body.get("chat_template_kwargs") or {}
        if self.displacing:
            shown = [m.get("reasoning_content") or m["content"] for m in call.body["messages"]]
            return call.read(orjson.dumps({"prompt": " ".join(shown)}))
        texts = "\n".join(
            f"{m['role']}: {m['content']}"
            + (m.get("reasoning_content") or "") * bool(kwargs.get("preserve_reasoning"))
            for m in call.body["messages"]
        )
        return call.read(orjson.dumps({"prompt": self.render(kwargs, texts)}))

    def sent(self, fields: Mapping[str, Any], messages: Any = ASK, date: str | None = None) -> Any:
        """The messages and fields of a request."""
        raw = {"chat_template": self.text, "chat_template_caps": self.caps}
        props = read_props(orjson.dumps(raw))
        return run_steps(self.known.applied(messages, fields, date, props), self.perform)

    def kwargs(self, fields: Mapping[str, Any]) -> Any:
        """The variables of a request."""
        return self.sent(fields)[1]["chat_template_kwargs"]


def reads(name: str, on: Any, off: Any) -> Template:
    """A template that thinks unless a variable is ``off``."""

    def render(kwargs: Mapping[str, Any], texts: str) -> str:
        return f"{texts}\nassistant: " + ("<think></think>" if kwargs.get(name, on) == off else "")

    return Template(render)


@pytest.mark.parametrize(
    ("name", "on", "off"),
    [
        ("thinking", True, False),
        ("thinking_mode", "enabled", "disabled"),
        ("reasoning_effort", "high", "no_think"),
    ],
)
def test_the_variable_that_changes_the_prompt_is_sent(name: str, on: Any, off: Any) -> None:
    template = reads(name, on, off)
    assert template.kwargs(reasoning_fields(True)) == {"enable_thinking": True, name: on}
    assert template.kwargs(reasoning_fields(False)) == {"enable_thinking": False, name: off}
    assert template.kwargs(unthinking({})) == {"enable_thinking": False, name: off}
    asked = len(template.asked)
    template.sent(reasoning_fields(False))
    assert len(template.asked) == asked, "a probe is rendered once"


def test_what_the_caller_gives_goes_over_it() -> None:
    template = reads("thinking", True, False)
    given = reasoning_fields(False, None, {"thinking": True})
    assert template.kwargs(given) == {"enable_thinking": False, "thinking": True}


def test_no_variable_is_sent_for_its_name_alone() -> None:
    template = Template(lambda kwargs, texts: f"{texts} <think></think>")
    assert template.kwargs(reasoning_fields(False)) == {"enable_thinking": False}


def test_words_in_a_message_are_sent_where_they_count() -> None:
    template = Template(
        lambda kwargs, texts: re.sub("/(no_)?think", "", texts) + str("/no_think" in texts)
    )
    system = {"role": "system", "content": "S"}
    messages, _ = template.sent(reasoning_fields(False))
    assert messages == [{"role": "system", "content": "/no_think"}, *ASK]
    messages, _ = template.sent(reasoning_fields(True), [system, *ASK])
    assert messages == [{"role": "system", "content": "S\n/think"}, *ASK]
    own = [{"role": "user", "content": "Hi /think"}]
    assert template.sent(reasoning_fields(False), own)[0] == own


def test_a_switch_that_a_system_message_turns_off() -> None:
    def render(kwargs: Mapping[str, Any], texts: str) -> str:
        own = "" if "system:" in texts else f"think: {kwargs.get('thinking', True)}\n"
        return own + texts

    template = Template(render)
    system = [{"role": "system", "content": "S"}, *ASK]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert "reasoning_budget_tokens" not in template.sent(reasoning_fields(False))[1]
        assert not said
        for choice in (False, True, False):
            fields = template.sent(reasoning_fields(choice), system)[1]
            assert fields.get("reasoning_budget_tokens") == (None if choice else 0)
    assert "with a system message" in str(said[0].message)
    assert len({str(each.message) for each in said}) == len(said), "each is said once"
    assert (
        "reasoning_budget_tokens"
        not in reads("thinking", True, False).sent(reasoning_fields(False), system)[1]
    )


@pytest.mark.parametrize("text", ["see docs/thinking.md", "a/think/b", "/no_thinking", "/think.md"])
def test_words_inside_of_others_are_no_wish_of_the_user(text: str) -> None:
    template = Template(
        lambda kwargs, texts: (
            re.sub("/(no_)?think", "", texts) + ("" if "/no_think" in texts else "<think>\n")
        )
    )
    own = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    messages, fields = template.sent(reasoning_fields(False), own)
    assert messages == [{"role": "system", "content": "/no_think"}, *own]
    # The template itself may take them for one: then the thoughts that it opens are closed.
    assert fields.get("reasoning_budget_tokens") == (1 if "/think" in text else None)
    assert template.sent(reasoning_fields(True), own)[0][0]["content"] == "/think"


@pytest.mark.parametrize("calls", [[], [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]])
def test_thoughts_that_displace_the_text_beside_them_are_not_sent(calls: list[Any]) -> None:
    both = {"role": "assistant", "content": "A", "reasoning_content": "T", "tool_calls": calls}
    history = [*ASK, both, *ASK]
    without = {name: value for name, value in both.items() if name != "reasoning_content"}
    shows = Template(lambda kwargs, texts: texts)
    assert shows.sent({}, history)[0] == history
    displaces = Template(lambda kwargs, texts: "")
    displaces.displacing = True
    for _ in range(2):
        assert displaces.sent({}, history)[0] == [*ASK, without, *ASK]
    assert len(displaces.asked) == 2, "each probe is rendered once"


def test_a_request_without_such_an_option_costs_nothing() -> None:
    template = reads("thinking", True, False)
    fields = {"tools": [], "chat_template_kwargs": {"name": "x"}}
    assert template.sent(fields) == (ASK, fields)
    loop = [*ASK, {"role": "assistant", "content": "", "reasoning_content": "T"}]
    assert template.sent({}, loop) == (loop, {})
    assert template.asked == []


def test_a_server_that_shows_no_template_is_not_asked() -> None:
    template = Template(lambda kwargs, texts: "", text="")
    assert template.sent(reasoning_fields(False, 0)) == (ASK, reasoning_fields(False, 0))
    assert template.asked == []


@pytest.mark.parametrize(
    ("end", "budget", "sent"),
    [
        ("<think>\n", 0, 1),
        ("<think>", 0, 0),
        ("<think>\n\n", 5, 7),
        ("", 0, 0),
        ("[THINK]\n", 0, 1),
    ],
)
def test_a_budget_counts_from_the_mark_that_opens_thoughts(
    end: str, budget: int, sent: int
) -> None:
    template = Template(lambda kwargs, texts: f"{texts}\nassistant: {end}", text="{# x #}")
    _, fields = template.sent(reasoning_fields(None, budget))
    assert fields["reasoning_budget_tokens"] == sent
    _, fields = template.sent({"thinking_budget_tokens": budget})
    assert fields["reasoning_budget_tokens"] == sent and "thinking_budget_tokens" not in fields
    _, fields = template.sent(reasoning_fields(None, -1))
    assert fields["reasoning_budget_tokens"] == -1


def test_no_budget_is_reasoning_off() -> None:
    template = reads("thinking", True, False)
    assert template.kwargs(reasoning_fields(None, 0)) == {
        "enable_thinking": False,
        "thinking": False,
    }
    assert "chat_template_kwargs" not in template.sent(reasoning_fields(None, 9))[1]


def test_what_cannot_be_done_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    plain = Template(lambda kwargs, texts: texts, text="{# x #}")
    with pytest.warns(RuntimeWarning, match="reasoning=True changes nothing") as said:
        for _ in range(2):
            plain.sent(reasoning_fields(True))
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain.sent(reasoning_fields(False))  # it does not think
    thinker = Template(lambda kwargs, texts: texts.replace("<think>\nprobe-thought", ""))
    with pytest.warns(RuntimeWarning, match="no variable that turns thinking off"):
        assert thinker.sent(reasoning_fields(False))[1]["reasoning_budget_tokens"] == 0
    opened = Template(lambda kwargs, texts: f"{texts}<think>", text="{# x #}")
    with caplog.at_level(logging.INFO, "rocm_core.model"):
        for _ in range(2):
            opened.sent(reasoning_fields(False))
    assert len(caplog.records) == 1 and "closes the thoughts" in caplog.text


def test_an_effort_is_sent_as_the_variable_that_is_read() -> None:
    template = Template(
        lambda kwargs, texts: f"{kwargs.get('thinking_effort')} {texts}",
        text="{# reasoning_effort thinking_effort #}",
    )
    _, fields = template.sent(reasoning_fields("low"))
    assert fields == {"chat_template_kwargs": {"thinking_effort": "low"}}


def test_an_effort_that_changes_nothing_is_said_and_one_that_is_refused_raises() -> None:
    with pytest.warns(RuntimeWarning, match="reasoning='low' changes nothing in the prompt"):
        reads("thinking", True, False).sent(reasoning_fields("low"))

    def strict(kwargs: Mapping[str, Any], texts: str) -> str:
        effort = kwargs.get("reasoning_effort")
        if effort not in (None, "low", "high"):
            raise HTTPStatusError("unknown effort", status=400)
        return f"{effort} {texts}"

    with pytest.raises(ConfigError, match="reasoning='medium'.*takes 'low', 'high'"):
        Template(strict).sent(reasoning_fields("medium"))


def test_a_server_that_is_busy_says_nothing_about_its_template() -> None:
    def busy(kwargs: Mapping[str, Any], texts: str) -> str:
        raise ServerBusy("full", status=503)

    with pytest.raises(ServerBusy):
        Template(busy).sent(reasoning_fields(False))


def test_earlier_thoughts_come_with_what_shows_them(caplog: pytest.LogCaptureFixture) -> None:
    template = Template(lambda kwargs, texts: texts)
    assert template.sent({}, THOUGHT)[1] == {"chat_template_kwargs": {"preserve_reasoning": True}}
    known = Template(lambda kwargs, texts: texts, caps={"supports_preserve_reasoning": True})
    assert known.sent({}, THOUGHT)[1] == {"chat_template_kwargs": {"preserve_reasoning": True}}
    assert len(known.asked) == 1, "llama-server has tried this one"
    own = {"chat_template_kwargs": {"preserve_reasoning": False}}
    assert known.sent(own, THOUGHT)[1] == own
    dropping = Template(lambda kwargs, texts: texts.replace("probe-thought", ""))
    with caplog.at_level(logging.INFO, "rocm_core.model"):
        for _ in range(2):
            assert dropping.sent({}, THOUGHT)[1] == {}
    assert len(caplog.records) == 1 and "shows no thoughts" in caplog.text


def test_a_date_is_sent_as_both_variables() -> None:
    template = Template(lambda kwargs, texts: texts)
    _, fields = template.sent({"chat_template_kwargs": {"x": 1}}, date="2026-01-31")
    variables = {"date_string": "31 Jan 2026", "datetime": "Jan 31 2026"}
    assert fields == {"chat_template_kwargs": {**variables, "x": 1}}
    assert template.asked == []
    clock = Template(lambda kwargs, texts: texts, text="{{ strftime_now('%d') }}")
    with pytest.warns(RuntimeWarning, match="reads the clock itself") as said:
        for _ in range(2):
            clock.sent({}, date="2026-01-31")
    assert len(said) == 1
    both = Template(lambda kwargs, texts: str(kwargs.get("datetime")), text="{{ strftime_now }}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        both.sent({}, date="2026-01-31")


def test_marks_at_the_end_of_a_prompt() -> None:
    found = opening("user<|im_end|>assistant\n<seed:think>\n")
    assert found and (found.space, found.end) == ("\n", "</seed:think>")
    square = opening("[/INST][THINK]")
    assert square and (square.space, square.end) == ("", "[/THINK]")
    assert opening("<think>\n\n</think>\n\n") is None
    assert opening("<think> about it") is None
