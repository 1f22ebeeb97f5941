"""Middleware for LangChain's agents. Needs the package ``langchain``.

``create_agent`` ends its run where an answer has no call that it can run, also if the model tried
one and its arguments are no JSON object (``langchain/agents/factory.py``,
``_make_model_to_tools_edge``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, InvalidToolCall, ToolMessage

try:
    from langchain.agents.middleware import AgentMiddleware, hook_config
except ModuleNotFoundError as error:
    raise ImportError(
        'langchain_rocm.middleware needs langchain: pip install "langchain>=1.4"', name=error.name
    ) from error


class RetryInvalidCalls(AgentMiddleware[Any, Any, Any]):
    """Tells the model which of its calls cannot be read, and lets it call again.

        create_agent(ChatRocm(model="…"), tools, middleware=[RetryInvalidCalls()])

    Each of ``invalid_tool_calls`` is answered by a ``ToolMessage`` of status ``error`` with the
    reason and the text that the model wrote. No tool runs with a part of its arguments.
    """

    def __init__(self, max_retries: int = 2) -> None:
        """``max_retries``: after so many answers in a row without a readable call, the run ends."""
        super().__init__()
        self._max_retries = max_retries

    @hook_config(can_jump_to=["model"])
    def after_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """Answer the calls that cannot be read; go back to the model if there are no others."""
        messages: Sequence[AnyMessage] = state["messages"]
        last = messages[-1] if messages else None
        if not isinstance(last, AIMessage) or not last.invalid_tool_calls:
            return None
        told = [_told(call) for call in last.invalid_tool_calls]
        if last.tool_calls:
            return {"messages": told}
        if _failures(messages) > self._max_retries:
            return None
        return {"messages": told, "jump_to": "model"}

    @hook_config(can_jump_to=["model"])
    async def aafter_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """``after_model`` for asyncio."""
        return self.after_model(state, runtime)


def _told(call: InvalidToolCall) -> ToolMessage:
    reason = call["error"] or "the arguments are no JSON object"
    return ToolMessage(
        f"The tool was not run: {reason}. You wrote: {call['args']!r}. Call it again by its "
        "name, with one complete JSON object.",
        name=call["name"],
        tool_call_id=call["id"] or "",
        status="error",
    )


def _failures(messages: Sequence[AnyMessage]) -> int:
    """Count the answers at the end that have calls, none of which can be read."""
    count = 0
    for message in reversed(messages):
        if isinstance(message, AIMessage):
            if message.tool_calls or not message.invalid_tool_calls:
                break
            count += 1
        elif not isinstance(message, ToolMessage):
            break
    return count
