"""The tools of LlamaIndex's ``FunctionCallingProgram``: their arguments are the fields of a class.

The program makes its tool of the class, and the object of the arguments as keywords. That fails for
a ``RootModel``, which has no fields, and for a strict class, which refuses text for a date outside
of JSON. So the arguments are read as JSON here; a ``RootModel`` is the one argument ``value``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.chat_engine.types import AgentChatResponse
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.program import function_program
from llama_index.core.tools import BaseTool, FunctionTool, ToolOutput
from llama_index.core.types import Model
from pydantic import BaseModel, RootModel, create_model

from rocm_core.adapter import correction, read_class
from rocm_core.errors import InvalidAnswer
from rocm_core.requests import VALUE


@dataclass(frozen=True)
class ProgramTool(Generic[Model]):
    """The tool of a program.

    Attributes:
        output_cls: the class of its objects.
        tool: offered to the model.
    """

    output_cls: type[Model]
    tool: FunctionTool

    @property
    def _is_wrapped(self) -> bool:
        return issubclass(self.output_cls, RootModel)

    def answer(self, calls: Sequence[ToolSelection], *, report: bool) -> AgentChatResponse:
        """Return the response whose sources are the objects of these calls.

        Args:
            calls: the model's.
            report: whether a call that does not fit the class is a source with ``is_error``.

        Raises:
            InvalidAnswer: a call does not fit the class, and ``report`` is not set.
        """
        outputs = [self._reported(call) if report else self._output(call) for call in calls]
        return AgentChatResponse("\n\n".join(each.content for each in outputs), sources=outputs)

    def _reported(self, call: ToolSelection) -> ToolOutput:
        try:
            return self._output(call)
        except InvalidAnswer as error:
            return ToolOutput(
                content=f"Error: {error}",
                tool_name=call.tool_name,
                raw_input=call.tool_kwargs,
                raw_output=str(error),
                is_error=True,
                exception=error,
            )

    def _output(self, call: ToolSelection) -> ToolOutput:
        value: Any = call.tool_kwargs
        fields = value.get(VALUE) if self._is_wrapped else value
        made = read_class(self.output_cls, json.dumps(fields))
        return ToolOutput(
            content=str(made), tool_name=call.tool_name, raw_input=value, raw_output=made
        )


def program_tool(tools: Sequence[BaseTool]) -> ProgramTool[BaseModel] | None:
    """Return the tool of a program; ``None`` if ``tools`` are anything else."""
    tool = tools[0] if len(tools) == 1 else None
    if not isinstance(tool, FunctionTool):
        return None
    output_cls = tool.metadata.fn_schema
    if tool.fn.__module__ != function_program.__name__ or output_cls is None:
        return None
    if not issubclass(output_cls, RootModel):
        return ProgramTool(output_cls, tool)
    fields: dict[str, Any] = {VALUE: (output_cls, ...)}
    offered = FunctionTool.from_defaults(
        tool.fn,
        name=tool.metadata.name,
        description=tool.metadata.description,
        fn_schema=create_model(output_cls.__name__, **fields),
    )
    return ProgramTool(output_cls, offered)


def corrected(
    messages: Sequence[ChatMessage], error: InvalidAnswer, again: bool
) -> list[ChatMessage]:
    """Return the messages of the next attempt; raise ``error`` unless there is one."""
    if not again:
        raise error
    answer = [ChatMessage(error.text, role=MessageRole.ASSISTANT)] if error.text else []
    return [*messages, *answer, ChatMessage(correction(error), role=MessageRole.USER)]
