"""What a chat template does with small conversations of markers, each rendered once.

    Probe      a conversation whose every text, name and argument is a marker
    Verdict    what the prompt shows of them, or that the template refused
    Probes     asks the server (``POST /apply-template``) and remembers
    rendered   the prompt of any conversation and variables

A render is trusted over ``chat_template_caps``: llama-server derives those from the variables
that a template reads (``common/jinja/caps.cpp``), which is not what it prints.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rocm_core.client import Steps, calls
from rocm_core.errors import HTTPStatusError
from rocm_core.model.template.roles import Conversation

# The status codes by which servers, and proxies in front of them, say: no such endpoint.
ABSENT = (404, 405, 501)

# ---------------------------------------------------------------------------
# Messages of markers
# ---------------------------------------------------------------------------

SYSTEM, USER, REPLY, RESULT, ARGUMENT = (
    *("probe-system", "probe-user", "probe-reply"),
    *("probe-result", "probe-argument"),
)
# A tool for templates that treat conversations with tools in another way.
_TOOL = {
    "type": "function",
    "function": {
        "name": "get_probe",
        "description": "Look up a probe.",
        "parameters": {"type": "object", "properties": {"key": {"type": "string"}}},
    },
}


def text(role: str, marker: str) -> dict[str, Any]:
    """Return a message with this text."""
    return {"role": role, "content": marker}


def parts(role: str, marker: str) -> dict[str, Any]:
    """Return a message whose content is a list of two texts."""
    texts = [{"type": "text", "text": f"{marker}-{i}"} for i in (1, 2)]
    return {"role": role, "content": texts}


def call(*numbers: int, beside: str = "", id_: str = "probeid0") -> dict[str, Any]:
    """Return an assistant's message with a call for each number, and a text beside them."""
    made = [
        {
            "type": "function",
            "id": f"{id_}{number}",
            "function": {
                "name": f"probe_call_{number}",
                "arguments": json.dumps({"key": f"{ARGUMENT}-{number}"}),
            },
        }
        for number in numbers
    ]
    return {"role": "assistant", "content": beside, "tool_calls": made}


def result(number: int, id_: str = "probeid0") -> dict[str, Any]:
    """Return the result of the call with this number."""
    return {**text("tool", f"{RESULT}-{number}"), "tool_call_id": f"{id_}{number}"}


@dataclass(frozen=True, slots=True)
class Probe:
    """A conversation to render.

    Attributes:
        name: stands for it; two probes of one name are one.
        messages: what is rendered; the texts, names and arguments are the markers.
        decisive: the conversation is refused if the template does not show it, so a refusal
            counts only from a server that renders other conversations.
    """

    name: str
    messages: Conversation
    decisive: bool = False

    def markers(self) -> Iterator[str]:
        """Yield every marker."""
        for message in self.messages:
            content = message.get("content") or ""
            yield from [content] if isinstance(content, str) else [p["text"] for p in content]
            for made in message.get("tool_calls", ()):
                yield made["function"]["name"]
                yield from json.loads(made["function"]["arguments"]).values()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a template does with a probe.

    Attributes:
        refused: it raised an error.
        missing: the markers that its prompt does not have.
        prompt: what it made.
    """

    refused: bool = False
    missing: frozenset[str] = frozenset()
    prompt: str = ""

    @property
    def shown(self) -> bool:
        """Whether all of the conversation reaches the model."""
        return not self.refused and not self.missing

    def lacks(self, marker: str) -> bool:
        """Return whether a text is missing that begins with ``marker``."""
        return self.refused or any(text.startswith(marker) for text in self.missing)

    def in_order(self, before: str, after: str) -> bool:
        """Return whether one text comes before another; true unless the prompt has both."""
        places = self.prompt.find(before), self.prompt.find(after)
        return min(places) < 0 or places[0] < places[1]


_SHOWN = Verdict()
_CONTROL = Probe("control", [text("user", USER)])


class Probes:
    """The verdicts on one model's template. Thread-safe."""

    def __init__(self) -> None:
        self._verdicts: dict[tuple[str, bool], Verdict] = {}
        self._absent = False

    def ask(self, probe: Probe, tools: bool = False) -> Steps[Verdict]:
        """Return what the template does with a probe; everything is shown if nobody can tell.

        Args:
            probe: rendered at the first time.
            tools: render it as a request with tools.

        Raises:
            HTTPStatusError: the answer says nothing about the template: the server is busy or
                loading, the key is wrong, a proxy failed.
        """
        key = (probe.name, tools)
        if key not in self._verdicts and not self._absent:
            verdict = yield from self._render(probe, tools)
            if verdict.refused and probe.decisive:
                control = yield from self.ask(_CONTROL)
                self._absent = self._absent or control.refused
            if not self._absent:
                self._verdicts[key] = verdict
        return self._verdicts.get(key, _SHOWN)

    def _render(self, probe: Probe, tools: bool) -> Steps[Verdict]:
        fields: dict[str, Any] = {"tools": [_TOOL]} if tools else {}
        try:
            prompt: str = yield calls.apply_template(probe.messages, **fields)
        except HTTPStatusError as error:
            if error.status in ABSENT:
                self._absent = True
            elif not _about_the_template(error):
                raise
            return Verdict(refused=True)
        # Some templates drop silently what they do not expect.
        missing = frozenset(m for m in probe.markers() if m and m not in prompt)
        return Verdict(False, missing, prompt)


def rendered(messages: Conversation, **fields: Any) -> Steps[str | None]:
    """Return the prompt that the template makes; ``None`` if it refuses, or cannot be asked.

    Args:
        messages: a conversation.
        fields: further request fields that the template sees.

    Raises:
        HTTPStatusError: the answer says nothing about the template.
    """
    try:
        prompt: str = yield calls.apply_template(messages, **fields)
    except HTTPStatusError as error:
        if error.status not in ABSENT and not _about_the_template(error):
            raise
        return None
    return prompt


def _about_the_template(error: HTTPStatusError) -> bool:
    # llama-server says 400, older builds 500; its own errors have a type, those of proxies none.
    return error.status in (400, 422) or (error.status == 500 and bool(error.type))
