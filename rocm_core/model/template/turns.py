"""Give a chat template the turns that it demands: an empty message where one is missing.

    order(…)    which orders of roles the template accepts, for ``roles.fitted``
    opened(…)   the conversation with an empty turn of the user before an assistant's message, a
                call or nothing at all, or after a tool's result at the end, and of the assistant
                between a tool's result and the user

Only what a template demands is changed, and it demands what its render of a probe shows. An empty
message adds no words to a conversation.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from rocm_core.client import Steps
from rocm_core.errors import ConfigError
from rocm_core.model.template import probe
from rocm_core.model.template.probe import Probe, Probes, Verdict
from rocm_core.model.template.roles import SYSTEM, Conversation, Demands, questionable

_NOBODY = {"role": "user", "content": ""}
_SILENCE = {"role": "assistant", "content": ""}

# ---------------------------------------------------------------------------
# Orders of roles
# ---------------------------------------------------------------------------

_LATE_SYSTEM = Probe(
    "late system message",
    [
        probe.text("system", "probe-1"),
        probe.text("user", "probe-2"),
        probe.text("assistant", "probe-3"),
        probe.text("system", "probe-4"),
        probe.text("user", "probe-5"),
    ],
)
_TWO_USER = Probe("two user turns", [probe.text("user", "probe-1"), probe.text("user", "probe-2")])


_ORPHAN = Probe(
    "result after the user",
    [
        probe.text("user", probe.USER),
        probe.result(1),
        probe.text("assistant", probe.REPLY),
        probe.text("user", "probe-last"),
    ],
    decisive=True,
)


def order(messages: Conversation, probes: Probes, no_system: bool) -> Steps[Demands]:
    """Return the order of roles that the template demands of a conversation.

    Args:
        messages: the conversation; of an order that no template refuses nothing is asked.
        probes: of the template.
        no_system: whether it takes no system message, as is known otherwise.

    Raises:
        ConfigError: a tool's result follows something else than its call, and the template takes
            no such.
    """
    if _has_orphan(messages, no_system):
        verdict: Verdict = yield from probes.ask(_ORPHAN)
        if not verdict.shown:
            raise _orphaned()
    if not questionable(messages):
        return Demands(no_system)
    late: Verdict = yield from probes.ask(_LATE_SYSTEM)
    twice: Verdict = yield from probes.ask(_TWO_USER)
    return Demands(no_system, not late.shown, not twice.shown)


def _has_orphan(messages: Conversation, no_system: bool) -> bool:
    """Return whether a result without its call follows a turn of somebody else."""
    for before, message in itertools.pairwise(messages):
        follows = before["role"] != "tool" and not before.get("tool_calls")
        if message["role"] == "tool" and follows and (no_system or before["role"] not in SYSTEM):
            return True
    return False


def _orphaned() -> ConfigError:
    """Return the error of a conversation with a result whose call is not there."""
    return ConfigError(
        "the conversation has the result of a tool whose call is not there, and the chat template "
        "of this model takes no such result. Keep a call and its results together: "
        "trim_messages(…, start_on='human'), or leave the result out."
    )


# ---------------------------------------------------------------------------
# Turns that are missing
# ---------------------------------------------------------------------------


def opened(
    messages: Conversation, probes: Probes, tools: bool, template: str = ""
) -> Steps[list[dict[str, Any]]]:
    """Return the conversation with the empty turns that the template demands.

    Args:
        messages: in the form of ``fitted``, calls in a form that the template shows.
        probes: of the template.
        tools: whether the request has tools.
        template: the Jinja text.

    Raises:
        ConfigError: a tool's result stands without its call, and the template takes no such.
    """
    result = [dict(message) for message in messages]
    start = 1 if result and result[0]["role"] in SYSTEM else 0
    first = result[start]["role"] if len(result) > start else "nothing"
    if first != "user":
        result = yield from _with_user(result, start, probes, tools)
    if any(a["role"] == "tool" and b["role"] == "user" for a, b in itertools.pairwise(result)):
        result = yield from _with_silence(result, probes, tools)
    if result and result[-1]["role"] == "tool" and _DSML in template:
        result = yield from _with_asking(result, probes, tools)
    return result


def _with_user(
    messages: list[dict[str, Any]], start: int, probes: Probes, tools: bool
) -> Steps[list[dict[str, Any]]]:
    """Put an empty turn of the user where the user's first should be, if the template needs it."""
    opening = _opening(messages[start:])
    if (yield from _same_with_user(bool(start), opening, probes, tools)):
        return messages
    if opening == "nothing" and start:
        return [{**messages[0], "role": "user"}]
    return [*messages[:start], _NOBODY, *messages[start:]]


def _same_with_user(system: bool, opening: str, probes: Probes, tools: bool) -> Steps[bool]:
    """Return whether an empty turn of the user would show no more of such a conversation.

    Raises:
        ConfigError: neither form shows the result of a tool that it begins with.
    """
    head = [probe.text("system", probe.SYSTEM)] if system else []
    name, asked = f"first {'system, ' * system}{opening}", _OPENINGS[opening]
    orphan = opening.startswith("result")
    verdict: Verdict = yield from probes.ask(Probe(name, [*head, *asked], orphan), tools)
    if verdict.shown:
        # With tools some templates print the first message as the user's, whoever wrote it: what
        # they do with a first call tells.
        first = opening.startswith("reply") and tools
        return not first or (yield from _same_with_user(system, "call", probes, tools))
    name = f"{name} after nobody"
    other: Verdict = yield from probes.ask(Probe(name, [*head, _NOBODY, *asked], orphan), tools)
    if orphan and not other.shown:
        raise _orphaned()
    return other.refused or (not verdict.refused and verdict.missing <= other.missing)


def _opening(turns: Conversation) -> str:
    """Name the kind of a conversation that the user does not begin."""
    if not turns:
        return "nothing"
    kind = {"assistant": "reply", "tool": "result"}.get(turns[0]["role"], "reply")
    if turns[0].get("tool_calls"):
        kind = "call"
    return kind if any(turn["role"] == "user" for turn in turns) else f"{kind} alone"


_REPLY, _USER = probe.text("assistant", probe.REPLY), probe.text("user", probe.USER)
_OPENINGS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "nothing": [],
    "reply": [_REPLY, _USER],
    "reply alone": [_REPLY],
    "call": [probe.call(1), probe.result(1), _REPLY, _USER],
    "call alone": [probe.call(1), probe.result(1)],
    "result": [probe.result(1), _REPLY, _USER],
    "result alone": [probe.result(1)],
}
_RESULT_THEN_USER = Probe(
    "user after a result", [_USER, probe.call(1), probe.result(1), probe.text("user", "probe-5")]
)


def _with_silence(
    messages: list[dict[str, Any]], probes: Probes, tools: bool
) -> Steps[list[dict[str, Any]]]:
    """Put an empty answer between a result and the user's next turn, if the template needs it."""
    if not (yield from probes.ask(_RESULT_THEN_USER, tools)).refused:
        return messages
    result = messages[:1]
    for before, message in itertools.pairwise(messages):
        if before["role"] == "tool" and message["role"] == "user":
            result.append(_SILENCE)
        result.append(message)
    return result


# DeepSeek V3.2 goes on after results without naming the assistant. llama-server's parser
# (``common/parsers``, by this mark of the template) wants the name before every answer, and ends
# each one after a result with status 500.
_DSML = "\N{FULLWIDTH VERTICAL LINE}DSML\N{FULLWIDTH VERTICAL LINE}"
_ASSISTANT = "<\N{FULLWIDTH VERTICAL LINE}Assistant\N{FULLWIDTH VERTICAL LINE}>"
_RESULT_LAST = Probe("result at the end", [_USER, probe.call(1), probe.result(1)])
_USER_LAST = Probe("nobody after a result", [*_RESULT_LAST.messages, _NOBODY])


def _with_asking(
    messages: list[dict[str, Any]], probes: Probes, tools: bool
) -> Steps[list[dict[str, Any]]]:
    """Put an empty turn of the user at the end if only then the prompt names the assistant."""
    named = []
    for asked in (_RESULT_LAST, _USER_LAST):
        verdict: Verdict = yield from probes.ask(asked, tools)
        after = verdict.prompt.rpartition(f"{probe.RESULT}-1")[2]
        named.append(verdict.shown and _ASSISTANT in after)
    return [*messages, _NOBODY] if named == [False, True] else messages
