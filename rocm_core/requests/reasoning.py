"""Turn reasoning options into request fields of ``/v1/chat/completions``. Pure.

Fields: ``chat_template_kwargs.enable_thinking``, ``reasoning_effort`` and
``reasoning_budget_tokens`` (llama.cpp ``tools/server/server-common.cpp``). Not every template
reads these: ``rocm_core.model.template.thinking`` adds what the model's own reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Of the C locale, which llama-server prints dates in (``format_time`` in common/chat.cpp).
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def reasoning_fields(
    reasoning: bool | str | None,
    budget: int | None = None,
    template_kwargs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the request fields for reasoning; empty if nothing is set.

    Args:
        reasoning: on, off, or an effort that the template knows (``"low"``, ``"high"``, …;
            ``"none"`` is off); ``None`` leaves it to the server and the template.
        budget: most tokens of reasoning; 0 for none, -1 for no limit.
        template_kwargs: further variables of the chat template, which override ``reasoning``.
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
    """Return request fields with reasoning off, unless ``fields`` already set it.

    For an answer whose shape a schema fixes, such as the call of a named tool: reasoning has
    nothing to decide there, and a small model may think until its tokens are used up.
    """
    if {"reasoning_effort", "reasoning_budget_tokens"} & fields.keys():
        return dict(fields)
    kwargs = {"enable_thinking": False, **fields.get("chat_template_kwargs", {})}
    return {**fields, "chat_template_kwargs": kwargs}


def dated(fields: Mapping[str, Any], date: str | None) -> dict[str, Any]:
    """Return request fields with a fixed date for the chat template.

    llama-server passes today's to every template as ``date_string`` (``31 Jan 2026``) and
    ``datetime`` (``Jan 31 2026``), and variables of a request go over them
    (``common_chat_extra_context`` in llama.cpp ``common/chat.cpp``).

    Args:
        fields: of a chat; variables given there stay.
        date: as ISO 8601 writes it; ``None``: ``fields`` as they are.
    """
    if date is None:
        return dict(fields)
    year, month, day = date.split("-")
    name = _MONTHS[int(month) - 1]
    variables = {"date_string": f"{day} {name} {year}", "datetime": f"{name} {day} {year}"}
    kwargs = {**variables, **(fields.get("chat_template_kwargs") or {})}
    return {**fields, "chat_template_kwargs": kwargs}
