"""Convert LlamaIndex's tools to request fields, and collect the calls of the answer. Pure.

    tools, tool_choice, …  → offer()          → keyword arguments of ``chat``
    ToolCallDelta          → ToolCalls.add()  → a ``ToolCallBlock`` per call
    a response             → selections()     → ``ToolSelection`` objects, for agents

While a call is being written, its block has the arguments so far; at the end, all of them.
Arguments that are no JSON object stay text, and no tool runs with a part of them, nor one for a
call without a name: ``selections`` raises, or gives an agent a selection by which it tells the
model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import BaseTool, ToolMetadata

from llama_index_rocm.partial_json import PartialObject
from rocm_core.errors import InvalidAnswer
from rocm_core.requests import new_call_id, parse_arguments, read_call
from rocm_core.types import ToolCallDelta

# How much of malformed arguments an agent repeats to the model.
_SHOWN = 500

# ---------------------------------------------------------------------------
# The request
# ---------------------------------------------------------------------------


def offer(
    tools: Sequence[BaseTool], choice: Any, *, required: bool, parallel: bool
) -> dict[str, Any]:
    """Return the keyword arguments of ``chat`` that offer ``tools``; empty without tools.

    Args:
        tools: LlamaIndex's.
        choice: as ``rocm_core.requests.tool_request`` takes it; ``None``: ``required`` decides.
        required: whether the answer must have a call.
        parallel: whether the answer may have several calls.
    """
    if not tools:
        return {}
    return {
        "tools": [_spec(tool.metadata) for tool in tools],
        "tool_choice": choice or (True if required else "auto"),
        "parallel_tool_calls": parallel,
    }


def _spec(metadata: ToolMetadata) -> dict[str, Any]:
    """A tool in OpenAI's form, with all that the schema of its arguments says.

    LlamaIndex keeps ``properties`` and definitions of it, and leaves out ``additionalProperties``,
    ``anyOf``, or a ``$ref`` at the top.
    """
    made = metadata.to_openai_tool(skip_length_check=True)
    own = type(metadata).get_parameters_dict is not ToolMetadata.get_parameters_dict
    if metadata.fn_schema is None or own:
        return made
    schema = metadata.fn_schema.model_json_schema()
    parameters = {k: v for k, v in schema.items() if k not in ("title", "description")}
    return {**made, "function": {**made["function"], "parameters": parameters}}


def conversation(
    history: Sequence[ChatMessage] | None, message: str | ChatMessage | None
) -> list[ChatMessage]:
    """Return ``history`` and then ``message`` as a new list; text becomes a user message."""
    messages = list(history or ())
    if isinstance(message, str):
        message = ChatMessage(role=MessageRole.USER, content=message)
    return messages if message is None else [*messages, message]


# ---------------------------------------------------------------------------
# The answer
# ---------------------------------------------------------------------------


class ToolCalls:
    """Collects the tool calls of one answer."""

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}

    def add(self, deltas: Sequence[ToolCallDelta]) -> None:
        """Add the parts of calls in one event; every call gets an id of its own."""
        for delta in deltas:
            call = self._calls.get(delta.index)
            if call is None:
                taken = {call.id for call in self._calls.values()}
                id_ = delta.id if delta.id and delta.id not in taken else new_call_id()
                call = self._calls[delta.index] = _Call(id_)
            call.add(delta)

    def blocks(self) -> list[ToolCallBlock]:
        """Return the calls so far, with their arguments so far."""
        return [call.block for call in self._calls.values()]

    def whole(self) -> list[ToolCallBlock]:
        """Return the calls after the last event; arguments that are no JSON object stay text."""
        return [call.whole() for call in self._calls.values()]


class _Call:
    def __init__(self, id_: str) -> None:
        self.id = id_
        self.block = ToolCallBlock(tool_call_id=id_, tool_name="")
        self._arguments = ""
        self._partial = PartialObject()

    def add(self, delta: ToolCallDelta) -> None:
        # A new block for each change, because earlier responses keep theirs.
        if delta.name and not self.block.tool_name:
            self.block = self._block(delta.name, self._partial.value)
        if delta.arguments:
            self._arguments += delta.arguments
            if self._partial.update(self._arguments):
                self.block = self._block(self.block.tool_name, self._partial.value)

    def whole(self) -> ToolCallBlock:
        try:
            return self._block(self.block.tool_name, parse_arguments(self._arguments))
        except InvalidAnswer:
            return self._block(self.block.tool_name, self._arguments)

    def _block(self, name: str, arguments: dict[str, Any] | str) -> ToolCallBlock:
        return ToolCallBlock(tool_call_id=self.id, tool_name=name, tool_kwargs=arguments)


def selections(response: ChatResponse, *, some: bool) -> list[ToolSelection]:
    """Return the tool calls of a response.

    Args:
        response: a whole one, or a part of a stream.
        some: whether at least one call is required, and every call must be one that can be run.
            Else a call without a name or a JSON object is selected under a name that no tool
            has, a sentence that says so: agents do not run it and pass the sentence on to the
            model. Its text is ``tool_kwargs["invalid_arguments"]``.

    Raises:
        ValueError: there is no call, and ``some`` is set.
        InvalidAnswer: a call has no name or no JSON object, and ``some`` is set.
    """
    blocks = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    if some and not blocks:
        raise ValueError(
            "Expected at least one tool call, but got 0 tool calls. The model answered: "
            f"{response.message.content!r}. tool_required=True makes it call one."
        )
    return [_selection(block, some) for block in blocks]


def _selection(block: ToolCallBlock, strict: bool) -> ToolSelection:
    given, name = block.tool_kwargs, block.tool_name
    try:
        if isinstance(given, str):
            arguments = read_call(name, given)
        else:
            read_call(name, "")
            arguments = dict(given)
    except InvalidAnswer as error:
        if strict:
            what = f"tool {name!r}: {error}: {given!r}" if name.strip() else str(error)
            raise InvalidAnswer(what, text=str(given)) from error
        # BaseWorkflowAgent.call_tool answers a name that it does not know with "Tool … not found.
        # Please select a tool that is available.", whatever the signature of the tools.
        name = (
            f"{name} with the arguments {_beginning(str(given))} ({error}; call "
            f"{name or 'a tool by its name,'} again with one complete JSON object)"
        )
        arguments = {"invalid_arguments": given}
    return ToolSelection(tool_id=block.tool_call_id or "", tool_name=name, tool_kwargs=arguments)


def _beginning(text: str) -> str:
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}…"


def only_first_call(response: ChatResponse) -> ChatResponse:
    """Remove all calls but the first from ``response``, in place; return it."""
    calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    response.message.blocks = [block for block in response.message.blocks if block not in calls[1:]]
    return response
