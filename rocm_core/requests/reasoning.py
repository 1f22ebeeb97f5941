"""Reasoning options as request fields of ``/v1/chat/completions``. Pure.

Fields: ``chat_template_kwargs.enable_thinking``, ``reasoning_effort`` and
``reasoning_budget_tokens`` (llama.cpp ``tools/server/server-common.cpp``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def reasoning_fields(
    reasoning: bool | str | None,
    budget: int | None = None,
    template_kwargs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What a request says of reasoning; what is unset is left to the server and the template.

    Args:
        reasoning: on, off, or an effort that the template knows (``"low"``, ``"high"``, …;
            ``"none"`` is off).
        budget: most tokens to think; 0 for none, -1 for no limit.
        template_kwargs: further variables of the chat template; they win.
    """
    fields: dict[str, Any] = {}
    kwargs = dict(template_kwargs or {})
    if reasoning == "none":
        reasoning = False
    if isinstance(reasoning, bool):
        kwargs.setdefault("enable_thinking", reasoning)
    elif reasoning is not None:
        fields["reasoning_effort"] = reasoning
    if kwargs:
        fields["chat_template_kwargs"] = kwargs
    if budget is not None:
        fields["reasoning_budget_tokens"] = budget
    return fields


def unthinking(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Request fields with reasoning off, unless they say something of it themselves.

    For an answer that is held to one shape, such as the call of a named tool: there is nothing to
    choose, and a small model may think until its tokens are used up.
    """
    if {"reasoning_effort", "reasoning_budget_tokens"} & fields.keys():
        return dict(fields)
    kwargs = {"enable_thinking": False, **fields.get("chat_template_kwargs", {})}
    return {**fields, "chat_template_kwargs": kwargs}
