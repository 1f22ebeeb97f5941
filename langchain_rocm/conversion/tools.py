"""Tools → OpenAI's form, as LangChain converts them, but with all that their schemas say. Pure.

LangChain's converter breaks recursion off, leaves out schemas without ``properties``, and takes
properties with names such as ``$ref`` for keywords. It names and describes; the parameters are
those of the tool itself, with references replaced by what they refer to, where that has an end.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.tools import BaseTool, Tool
from langchain_core.tools.base import create_schema_from_function
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel
from typing_extensions import is_typeddict

from langchain_rocm.conversion.schemas import function_spec, wanted
from rocm_core.requests import closed, inlined, without_titles


def openai_tool(
    tool: Mapping[str, Any] | type | Callable[..., Any] | BaseTool, strict: bool | None = None
) -> dict[str, Any]:
    """Return ``tool`` as ``{"type": "function", "function": {…}}``.

    Args:
        tool: a function, ``BaseTool``, pydantic class, ``TypedDict``, dataclass, or dict in the
            form of OpenAI, Anthropic, Bedrock, or of a JSON schema with a title.
        strict: as in OpenAI's tools: whether no other arguments than those named are allowed.

    Raises:
        ValueError: it is none of these.
    """
    if (
        isinstance(tool, Mapping)
        and isinstance(tool.get("title"), str)
        and function_spec(tool) is None
    ):
        return spec(tool["title"], str(tool.get("description") or ""), tool, strict)
    if is_typeddict(tool) or (dataclasses.is_dataclass(tool) and isinstance(tool, type)):
        found = wanted(tool)
        return spec(found.name, found.description, found.schema, strict)
    if isinstance(tool, type) and issubclass(tool, enum.Enum):
        raise ValueError(f"{tool!r} is an Enum: the arguments of a tool are an object")
    exact = _exact_schema(tool)
    if exact is None:
        return convert_to_openai_tool(tool, strict=strict)
    # The converter fails on some schemas, so it gets one that it cannot fail on.
    name, description = _names(tool, exact)
    return spec(name, description, exact, strict)


def spec(
    name: str, description: str, schema: Mapping[str, Any], strict: bool | None = None
) -> dict[str, Any]:
    """Return a tool with these arguments.

    Args:
        name: of the tool.
        description: of the tool.
        schema: of its arguments.
        strict: as ``openai_tool``.
    """
    parameters = without_titles(inlined(schema))
    parameters.pop("description", None)
    function: dict[str, Any] = {"name": name, "description": description}
    function["parameters"] = closed(parameters) if strict else parameters
    if strict is not None:
        function["strict"] = strict
    return {"type": "function", "function": function}


def _exact_schema(tool: Any) -> dict[str, Any] | None:
    """The schema of the arguments; ``None`` where LangChain's converter knows best."""
    if isinstance(tool, Mapping) or (isinstance(tool, Tool) and not tool.args_schema):
        return None
    if isinstance(tool, BaseTool):
        schema: Any = tool.tool_call_schema
        if isinstance(schema, dict):
            return schema
    elif isinstance(tool, type):
        schema = tool if is_basemodel_subclass(tool) else None
    elif inspect.isroutine(tool):
        schema = create_schema_from_function(
            tool.__name__,
            tool,
            filter_args=(),
            parse_docstring=True,
            error_on_invalid_docstring=False,
            include_injected=False,
        )
    else:
        return None
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return schema.model_json_schema()
    return None  # pydantic v1


def _names(tool: Any, schema: Mapping[str, Any]) -> tuple[str, str]:
    if isinstance(tool, BaseTool):
        return tool.name, tool.description
    if isinstance(tool, type):
        found = wanted(tool)
        return found.name, found.description
    return tool.__name__, str(schema.get("description") or "")
