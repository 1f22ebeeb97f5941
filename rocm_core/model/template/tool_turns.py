"""Bring tool calls and their results into a form that a chat template shows.

    demands(…)   what the template does with calls (probes), or an error that says what it lacks
    shown(…)     the conversation so: ids mapped, calls written as text, turns split. Pure

Templates differ in what they leave out, without a word: a second call of a turn, text beside a
call, every call, every result. What another form of the same conversation shows is sent in that
form; the rest is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rocm_core.client import Steps
from rocm_core.errors import ConfigError
from rocm_core.model.template import probe
from rocm_core.model.template.call_ids import shortened
from rocm_core.model.template.probe import Probe, Probes, Verdict
from rocm_core.model.template.roles import Conversation
from rocm_core.requests.written_calls import Write, call_notation, in_text

_HEAD = [probe.text("system", probe.SYSTEM), probe.text("user", probe.USER)]
_LONG_ID = "call_of_a_probe_"
_BESIDE = "probe-beside"
_NOBODY = {"role": "user", "content": ""}
_ANY_ID = Probe(
    "call", [*_HEAD, probe.call(1, id_=_LONG_ID), probe.result(1, id_=_LONG_ID)], decisive=True
)
_SHORT_ID = Probe("call with a short id", [*_HEAD, probe.call(1), probe.result(1)], decisive=True)
_PARALLEL = Probe(
    "two calls", [*_HEAD, probe.call(1, 2), probe.result(1), probe.result(2)], decisive=True
)
_SPLIT = Probe(
    "two calls in two turns",
    [*_HEAD, probe.call(1), probe.result(1), probe.call(2), probe.result(2)],
    decisive=True,
)
# With what follows: some templates show what stands beside a call until the answer is there.
_LATER = [
    probe.result(1),
    probe.text("assistant", probe.REPLY),
    probe.text("user", "probe-last"),
]
_TEXT = Probe("text beside a call", [*_HEAD, probe.call(1, beside=_BESIDE), *_LATER], decisive=True)
_TEXT_FIRST = Probe(
    "text before a call",
    [*_HEAD, probe.text("assistant", _BESIDE), probe.call(1), *_LATER],
    decisive=True,
)
_TEXT_TURN = Probe(
    "text in a turn before a call",
    [*_HEAD, probe.text("assistant", _BESIDE), _NOBODY, probe.call(1), *_LATER],
    decisive=True,
)


@dataclass(frozen=True, slots=True)
class CallDemands:
    """The form in which a template shows the tool calls of a conversation.

    Attributes:
        short_ids: ids are nine letters and digits.
        write: writes the calls into the text, because the template drops them.
        one_a_turn: a turn has one call.
        text_first: the text beside a call is a message of its own before it.
        text_turn: and an empty turn of the user follows that message.
        no_system: system messages are dropped where a conversation has tool turns.
    """

    short_ids: bool = False
    write: Write | None = None
    one_a_turn: bool = False
    text_first: bool = False
    text_turn: bool = False
    no_system: bool = False


# ---------------------------------------------------------------------------
# With the server
# ---------------------------------------------------------------------------


def demands(
    messages: Conversation, probes: Probes, tools: bool, template: str
) -> Steps[CallDemands]:
    """Return the form in which the template shows the calls of a conversation.

    Args:
        messages: the conversation; without calls nothing is asked.
        probes: of the template.
        tools: whether the request has tools.
        template: the Jinja text, which tells in which notation its model writes calls.

    Raises:
        ConfigError: the template has no form that shows the calls, or none for their results.
    """
    calling = [message for message in messages if message.get("tool_calls")]
    if not calling and all(message["role"] != "tool" for message in messages):
        return CallDemands()
    verdict: Verdict = yield from probes.ask(_ANY_ID, tools)
    short_ids = False
    if not verdict.shown:
        other = yield from probes.ask(_SHORT_ID, tools)
        short_ids = verdict.refused and not other.refused
        verdict = other if short_ids else verdict
    no_system = verdict.lacks(probe.SYSTEM)
    if not calling:
        return CallDemands(short_ids, no_system=no_system and not verdict.refused)
    if verdict.lacks(probe.RESULT):
        raise _refusal("results of tools")
    if _lost(verdict):
        write = yield from _written(probes, tools, template)
        return CallDemands(short_ids, write, no_system=no_system)
    form = CallDemands(short_ids, no_system=no_system)
    if any(len(message["tool_calls"]) > 1 for message in calling):
        found = yield from _first_shown([_PARALLEL, _SPLIT], probes, tools)
        form = replace(form, one_a_turn=found is _SPLIT)
    if any(message.get("content") for message in calling):
        found = yield from _first_shown([_TEXT, _TEXT_FIRST, _TEXT_TURN], probes, tools)
        form = replace(form, text_first=found is not _TEXT, text_turn=found is _TEXT_TURN)
    return form


def _written(probes: Probes, tools: bool, template: str) -> Steps[Write]:
    write = call_notation(template)
    if write is None:
        raise _refusal("tool calls")
    asked = [*_HEAD, in_text(probe.call(1), write), probe.result(1)]
    verdict = yield from probes.ask(Probe("call in text", asked, decisive=True), tools)
    if _lost(verdict):
        raise _refusal("tool calls")
    return write


def _first_shown(forms: Sequence[Probe], probes: Probes, tools: bool) -> Steps[Probe]:
    """Return the first form of a conversation that the template shows."""
    for form in forms:
        verdict: Verdict = yield from probes.ask(form, tools)
        if not _lost(verdict) and verdict.in_order(_BESIDE, probe.RESULT):
            return form
    raise _refusal(forms[0].name)


def _lost(verdict: Verdict) -> bool:
    return verdict.refused or bool(verdict.missing - {probe.SYSTEM})


def _refusal(what: str) -> ConfigError:
    return ConfigError(
        f"the chat template of this model has no place for {what}, and this conversation has "
        "them: the model would never see them. Load the model with another chat_template=…, use "
        "a model whose template shows tool calls, or put what the tools were asked and what they "
        "said into the text of the messages."
    )


# ---------------------------------------------------------------------------
# Pure
# ---------------------------------------------------------------------------


def shown(messages: Conversation, wanted: CallDemands) -> list[dict[str, Any]]:
    """Return the conversation in the form that shows its calls; the messages stay as they were."""
    result = [dict(message) for message in messages]
    if wanted.write is not None:
        write = wanted.write
        result = [in_text(m, write) if m.get("tool_calls") else m for m in result]
    if wanted.one_a_turn:
        result = _one_a_turn(result)
    if wanted.text_first:
        between = [_NOBODY] if wanted.text_turn else []
        result = [part for message in result for part in _text_first(message, between)]
    return shortened(result) if wanted.short_ids else result


def _text_first(message: dict[str, Any], between: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not message.get("tool_calls") or not message.get("content"):
        return [message]
    # Thoughts stay with the call: most templates show them there alone.
    apart = ("tool_calls", "reasoning_content")
    before = {name: value for name, value in message.items() if name not in apart}
    return [before, *between, {**message, "content": ""}]


def _one_a_turn(messages: Conversation) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = []
    rest = [dict(message) for message in messages]
    while rest:
        message = rest.pop(0)
        if len(message.get("tool_calls") or ()) < 2:
            result.append(message)
            continue
        end = next((i for i, m in enumerate(rest) if m["role"] != "tool"), len(rest))
        result += _turns(message, rest[:end])
        del rest[:end]
    return result


def _turns(message: Mapping[str, Any], results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one turn for each call, with its results; what has no result comes first.

    A conversation may end in a result, and never in a call.
    """
    answered: list[list[dict[str, Any]]] = []
    waiting: list[list[dict[str, Any]]] = []
    for call in message["tool_calls"]:
        id_ = call.get("id")
        own = [r for r in results if id_ and r.get("tool_call_id") == id_]
        own = own or [r for r in results if not r.get("tool_call_id")][:1]
        results = [r for r in results if not any(r is one for one in own)]
        turn = [{"role": message["role"], "content": "", "tool_calls": [call]}, *own]
        (answered if own else waiting).append(turn)
    turns = [part for turn in (*waiting, *answered) for part in turn]
    # What belongs to all of the calls stays with the first; results of no call stay at the end.
    turns[0] = {**message, "tool_calls": turns[0]["tool_calls"]}
    return [*turns, *results]
