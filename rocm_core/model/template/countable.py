"""Make a conversation out of any piece of one, so that its tokens can be counted. Pure.

Trimming a history counts its beginnings and its ends, wherever they are cut: after a call, whose
result is cut off, or before a result, whose call is. No model is asked to answer such a piece; the
prompt that is counted has an empty message for the one that is missing. LangChain's
``trim_messages`` (langchain-core 1.8) also counts from the last message to the first.
"""

from __future__ import annotations

import itertools
from typing import Any

from rocm_core.model.template.roles import Conversation


def completed(messages: Conversation) -> list[dict[str, Any]]:
    """Return the messages with an empty result for each call at their end, and an empty call for
    each result that has none; from the first to the last, if they came in the other order.
    """
    result: list[dict[str, Any]] = []
    if _backwards(messages):
        messages = messages[::-1]
    for is_result, group in itertools.groupby(messages, lambda m: m["role"] == "tool"):
        block = [dict(message) for message in group]
        if is_result and not (result and result[-1].get("tool_calls")):
            result.append(_calling(block))
        result += block
    last = result[-1] if result else {}
    if last.get("role") == "assistant":
        result += [_empty_result(call) for call in last.get("tool_calls") or ()]
    return result


def _backwards(messages: Conversation) -> bool:
    """Return whether a result stands before its call."""
    ids: list[set[Any]] = [set(), set()]  # of results without a call before them, and of calls
    for message in messages:
        calls = {call.get("id") for call in message.get("tool_calls") or ()}
        if calls & ids[0]:
            return True
        ids[1] |= calls
        if message["role"] == "tool" and (id_ := message.get("tool_call_id")) not in ids[1]:
            ids[0].add(id_)
    return False


def _calling(results: list[dict[str, Any]]) -> dict[str, Any]:
    calls = [
        {
            "type": "function",
            "id": result.get("tool_call_id") or "",
            "function": {"name": result.get("name") or "tool", "arguments": "{}"},
        }
        for result in results
    ]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def _empty_result(call: dict[str, Any]) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call.get("id") or "", "content": ""}
