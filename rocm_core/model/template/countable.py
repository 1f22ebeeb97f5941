"""Make a conversation out of any piece of one, so that its tokens can be counted. Pure.

Trimming a history counts its beginnings and its ends, wherever they are cut: after a call, whose
result is cut off, or before a result, whose call is. No model is asked to answer such a piece; the
prompt that is counted has an empty message for the one that is missing.
"""

from __future__ import annotations

import itertools
from typing import Any

from rocm_core.model.template.roles import Conversation


def completed(messages: Conversation) -> list[dict[str, Any]]:
    """Return the messages with an empty result for each call at their end, and an empty call for
    each result that has none.
    """
    result: list[dict[str, Any]] = []
    for is_result, group in itertools.groupby(messages, lambda m: m["role"] == "tool"):
        block = [dict(message) for message in group]
        if is_result and not (result and result[-1].get("tool_calls")):
            result.append(_calling(block))
        result += block
    last = result[-1] if result else {}
    if last.get("role") == "assistant":
        result += [_empty_result(call) for call in last.get("tool_calls") or ()]
    return result


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
