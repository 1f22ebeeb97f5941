"""What turns thinking on and off in a chat template, found by rendering probes.

    find_switch(text)    the variable, or the words in a message, that change the prompt
    find_effort(text)    the variable of the effort, and the efforts that change the prompt
    find_text_beside()   whether thoughts take the place of the text beside them
    find_replay()        the variables with which thoughts of earlier turns are shown
    find_thinks(text)    whether the template knows thinking at all

Templates agree on no name: of 50 published ones, 16 read ``enable_thinking``, others ``thinking``,
``thinking_mode``, ``thinking_budget``, an effort, or the words ``/think`` and ``/no_think``. A name
in the template's text is only a candidate; what counts is that the prompt changes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rocm_core.client import Steps
from rocm_core.model.template.probe import rendered
from rocm_core.model.template.roles import Conversation

KWARGS = "chat_template_kwargs"
PROBE = "probe-1"
THOUGHT = "probe-thought"
_TEXT = "probe-text"
_ASK = [{"role": "user", "content": PROBE}]
# Variable, its value for thinking, its value for none.
VARIABLES: tuple[tuple[str, Any, Any], ...] = (
    ("enable_thinking", True, False),
    ("thinking", True, False),
    ("thinking_mode", "enabled", "disabled"),
    ("thinking_budget", -1, 0),
    ("reasoning", True, False),
    ("enable_reasoning", True, False),
    ("use_thinking", True, False),
)
EFFORT_VARIABLES = ("reasoning_effort", "thinking_effort")
EFFORTS = ("low", "medium", "high")
# What templates call no effort; "low" closes the thoughts in one of them (Solar Open).
_NO_EFFORT = ("none", "no_think", "minimal", "low")
TAGS = ("/think", "/no_think")
# llama-server turns the first into the names that most templates use (common/jinja/caps.cpp).
KEEPING: tuple[Mapping[str, Any], ...] = (
    {},
    {"preserve_reasoning": True},
    {"preserve_thinking": True},
    {"preserved_thinking": True},
    {"keep_past_thinking": True},
)
# A mark that opens a block of thoughts at the end of a prompt, and the white space behind it.
_OPENED = r"(?:(<(?!/)[^<>\s]*(?:think|thought|reason)[^<>\s]*>)|(\[THINK\]))(\s*)\Z"
# Thoughts that a prompt begins without a mark (Apriel).
_BEGUN = r"reasoning steps:\s*\Z"
# What the text of a template has whose model was trained to think.
_MENTIONS = r"</?think|\[THINK\]|thinking|reasoning[ _](?:steps|prompt|content)"
_EARLIER = [
    *_ASK,
    {"role": "assistant", "content": "probe-2", "reasoning_content": THOUGHT},
    {"role": "user", "content": "probe-3"},
]
_CALL: dict[str, Any] = {
    "id": "probe0001",
    "type": "function",
    "function": {"name": "probe", "arguments": '{"value": "probe-2"}'},
}
_TOOL = {
    "type": "function",
    "function": {
        "name": "probe",
        "description": "Probe.",
        "parameters": {"type": "object", "properties": {"value": {"type": "string"}}},
    },
}
_IN_TOOL_LOOP: list[dict[str, Any]] = [
    *_ASK,
    {"role": "assistant", "content": "", "tool_calls": [_CALL], "reasoning_content": THOUGHT},
    {"role": "tool", "tool_call_id": "probe0001", "content": "probe-3"},
]
_STRIPPED = [
    *_ASK,
    {"role": "assistant", "content": f"<think>\n{THOUGHT}\n</think>\n\nprobe-2"},
    {"role": "user", "content": "probe-3"},
]


@dataclass(frozen=True, slots=True)
class Switch:
    """What turns thinking on and off.

    Attributes:
        on, off: variables of the template.
        tags: the words for on and off in a system message; empty for none.
    """

    on: Mapping[str, Any] = field(default_factory=dict)
    off: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, str] | tuple[()] = ()

    def variables(self, thinking: bool) -> Mapping[str, Any]:
        """Return the variables for thinking, or for none."""
        return self.on if thinking else self.off


@dataclass(frozen=True, slots=True)
class Opening:
    """A block of thoughts that the prompt has opened.

    Attributes:
        space: the white space behind its mark.
        end: the mark that closes it.
    """

    space: str
    end: str


def opening(prompt: str) -> Opening | None:
    """Return the block of thoughts that is open at the end of a prompt."""
    found = re.search(_OPENED, prompt, re.IGNORECASE)
    if not found:
        return None
    angle, _, space = found.groups()
    return Opening(space, f"</{angle[1:]}" if angle else "[/THINK]")


def mentions_thinking(text: str) -> bool:
    """Return whether a template's text is about thoughts; no proof that it knows them."""
    return re.search(_MENTIONS, text, re.IGNORECASE) is not None


def _with(variables: Mapping[str, Any]) -> dict[str, Any]:
    return {KWARGS: dict(variables)}


def _candidates(text: str, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if name in text]


def find_switch(text: str) -> Steps[Switch | None]:
    """Return what turns thinking on and off; ``None`` if nothing does.

    Args:
        text: the template.
    """
    for name, on, off in VARIABLES:
        if not _candidates(text, (name,)):
            continue
        switch = Switch({"enable_thinking": True, name: on}, {"enable_thinking": False, name: off})
        one = yield from rendered(_ASK, **_with(switch.on))
        other = yield from rendered(_ASK, **_with(switch.off))
        if None not in (one, other) and one != other:
            return switch
    for name in _candidates(text, EFFORT_VARIABLES):
        thinking = yield from rendered(_ASK, **_with({name: EFFORTS[-1]}))
        for effort in _NO_EFFORT:
            none = yield from rendered(_ASK, **_with({name: effort}))
            if thinking and none and _closes(thinking, none):
                return Switch(
                    {"enable_thinking": True, name: EFFORTS[-1]},
                    {"enable_thinking": False, name: effort},
                )
    return (yield from _find_tags(text))


def moves_beside(switch: Switch, system: bool, tools: bool) -> Steps[bool]:
    """Return whether variables change a prompt that has more; ``True`` if unknown.

    A template that writes about thinking into a system message of its own (granite 3.3) does not
    where the request has one, or has tools.

    Args:
        switch: the variables.
        system: with a system message.
        tools: with a tool.
    """
    asked = [{"role": "system", "content": "probe-0"}, *_ASK] if system else _ASK
    fields = {"tools": [_TOOL]} if tools else {}
    one = yield from rendered(asked, **fields, **_with(switch.on))
    other = yield from rendered(asked, **fields, **_with(switch.off))
    return None in (one, other) or one != other


def _closes(thinking: str, none: str) -> bool:
    """Whether a prompt without thinking is the other with a closed block of thoughts."""
    begun, closed = thinking.rpartition(PROBE)[2], none.rpartition(PROBE)[2]
    return closed != begun and closed.startswith(begun)


def _find_tags(text: str) -> Steps[Switch | None]:
    if not _candidates(text, TAGS[1:]):
        return None
    prompts = []
    for tag in TAGS:
        prompt = yield from rendered([{"role": "system", "content": tag}, *_ASK])
        if prompt is None:
            return None
        prompts.append(prompt.replace(tag, ""))
    return Switch(tags=TAGS) if prompts[0] != prompts[1] else None


@dataclass(frozen=True, slots=True)
class Effort:
    """The variable of a template's effort.

    Attributes:
        name: of the variable.
        prompts: the probe's prompt for each effort that the template takes.
    """

    name: str
    prompts: Mapping[str, str]

    @property
    def levels(self) -> list[str]:
        """The efforts whose prompts differ, from low to high; empty unless low and high do."""
        low, high = (self.prompts.get(effort) for effort in (EFFORTS[0], EFFORTS[-1]))
        if low is None or high is None or low == high:
            return []
        middle = self.prompts.get(EFFORTS[1])
        return [e for e in EFFORTS if e != EFFORTS[1] or middle not in (None, low, high)]


def find_effort(text: str, given: str | None = None) -> Steps[Effort | None]:
    """Return the variable of the effort; ``None`` if none changes the prompt.

    Args:
        text: the template.
        given: a further effort to ask about.
    """
    wanted = dict.fromkeys((*EFFORTS, *([given] if given else ())))
    for name in _candidates(text, EFFORT_VARIABLES):
        prompts = {}
        for effort in wanted:
            prompt = yield from rendered(_ASK, **_with({name: effort}))
            if prompt is not None:
                prompts[effort] = prompt
        if len(set(prompts.values())) > 1:
            return Effort(name, prompts)
    return None


def find_replay() -> Steps[Mapping[str, Any] | None]:
    """Return the variables with which thoughts of earlier turns are shown; ``None`` if none do."""
    for variables in KEEPING:
        prompt = yield from rendered(_EARLIER, **_with(variables))
        if prompt and THOUGHT in prompt:
            return variables
    return None


def find_text_beside(call: bool) -> Steps[bool]:
    """Return whether an answer's text is shown if it has thoughts; also ``True`` if unknown.

    Args:
        call: of an answer that calls a tool.
    """
    answer: dict[str, Any] = {"role": "assistant", "content": _TEXT}
    after = [{"role": "user", "content": "probe-4"}]
    if call:
        answer["tool_calls"] = [_CALL]
        after = [_IN_TOOL_LOOP[-1]]
    prompt = yield from rendered([*_ASK, answer | {"reasoning_content": THOUGHT}, *after])
    if prompt is None or _TEXT in prompt:
        return True
    prompt = yield from rendered([*_ASK, answer, *after])
    return prompt is None or _TEXT not in prompt


def find_thinks() -> Steps[bool]:
    """Return whether the template opens, shows, or cuts out thoughts."""
    prompt = yield from rendered(_ASK)
    if prompt and (opening(prompt) or re.search(_BEGUN, prompt)):
        return True
    shown: tuple[Conversation, ...] = (_IN_TOOL_LOOP, _EARLIER)
    for messages in shown:
        prompt = yield from rendered(messages)
        if prompt and THOUGHT in prompt:
            return True
    prompt = yield from rendered(_STRIPPED)
    return prompt is not None and THOUGHT not in prompt
