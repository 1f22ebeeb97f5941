"""Make one string of a list of texts where a chat template reads strings alone.

Many templates take a list of content parts from the user and nobody else: of a system message
they show the first part, of a tool's result none. A list of one text is always sent as that
text; longer ones stay as they are unless a render shows that the template does not read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rocm_core.client import Steps
from rocm_core.model.template import probe
from rocm_core.model.template.probe import Probe, Probes, Verdict
from rocm_core.model.template.roles import Conversation

# As llama-server joins them itself (``concat_content_parts`` in ``common/chat.cpp``).
_BETWEEN = "\n"
_LISTS = {
    role: Probe(f"parts of {role}", messages)
    for role, messages in {
        "system": [probe.parts("system", probe.SYSTEM), probe.text("user", probe.USER)],
        "user": [probe.parts("user", probe.USER)],
        "assistant": [
            probe.text("user", probe.USER),
            probe.parts("assistant", probe.REPLY),
            probe.text("user", probe.USER),
        ],
        "tool": [
            probe.text("user", probe.USER),
            probe.call(1),
            {**probe.parts("tool", probe.RESULT), "tool_call_id": "probeid01"},
        ],
    }.items()
}


def readable(messages: Conversation, probes: Probes, tools: bool) -> Steps[list[dict[str, Any]]]:
    """Return the messages, lists of texts joined where the template does not read them.

    Args:
        messages: the conversation; lists that hold more than texts stay as they are.
        probes: of the template.
        tools: whether the request has tools.
    """
    result = [dict(message) for message in messages]
    for message in result:
        texts = _texts(message)
        if texts is None:
            continue
        asked = _LISTS.get(message["role"])
        if len(texts) > 1 and asked and _reads((yield from probes.ask(asked, tools)), asked):
            continue
        message["content"] = _BETWEEN.join(texts)
    return result


def _texts(message: Mapping[str, Any]) -> list[str] | None:
    """Return the texts of a list of nothing else; ``None`` for any other content."""
    content = message.get("content")
    if not isinstance(content, list) or not content:
        return None
    texts = [
        part["text"]
        for part in content
        if isinstance(part, Mapping) and part.get("type") == "text" and "text" in part
    ]
    return texts if len(texts) == len(content) else None


def _reads(verdict: Verdict, asked: Probe) -> bool:
    if verdict.refused:
        return False
    # Only the lists are in question, and one that is printed as JSON was not read.
    lists = [m for m in asked.markers() if m.endswith(("-1", "-2")) and m not in _OF_CALLS]
    return not any(m in verdict.missing or _as_json(m, verdict.prompt) for m in lists)


_OF_CALLS = frozenset({"probe_call_1", f"{probe.ARGUMENT}-1"})


def _as_json(marker: str, prompt: str) -> bool:
    before = prompt.partition(marker)[0].rstrip("\\\"' ")
    return before.endswith(":") and before.rstrip(":\\\"' ").endswith("text")
