"""What an answer should be: any kind of schema → its JSON schema, and how to read an answer. Pure.

    pydantic class (v2)             its own schema            an instance
    pydantic class (v1)             its own schema            an instance
    TypedDict                       pydantic's TypeAdapter    a dict, with the types it declares
    dataclass, Enum, list[int], …   pydantic's TypeAdapter    an instance
    tool, function                  of its arguments          a dict
    JSON schema, function spec      as given                  what the JSON says

Schemas are sent as they are. LangChain's own converter makes tools of them, and loses on the way
what a tool cannot have: schemas without ``properties``, recursion, properties named ``$ref``.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args, get_origin, get_type_hints

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel, PydanticUserError, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import Annotated, is_typeddict  # noqa: UP035

from langchain_rocm.conversion.typed_dicts import readable_by_pydantic
from rocm_core.adapter import misfit, path_text, read_class, read_type
from rocm_core.requests import closed, resolved

_ANY_OBJECT = {"type": "object"}
# A dict with a name and one of these is a JSON schema that somebody named, and no function spec.
_OF_SCHEMAS = frozenset({"properties", "items", "anyOf", "oneOf", "allOf", "$ref", "enum", "const"})


@dataclass(frozen=True)
class Wanted:
    """What an answer should be.

    Attributes:
        name: of the schema: the tool's name with ``function_calling``.
        description: what the model is told of it with ``function_calling``.
        schema: the JSON schema, as it was given.
        read: makes the value of a JSON text.
        grows: whether the JSON itself is the value, so that a stream can yield it before it is
            whole.
    """

    name: str
    description: str
    schema: dict[str, Any]
    read: Callable[[str], Any]
    grows: bool = False


def wanted(given: Any, strict: bool | None = None) -> Wanted:
    """Return what ``given`` says an answer should be.

    Args:
        given: one of the kinds above; ``None`` for any JSON object.
        strict: as in OpenAI's schemas: whether no other properties than those named are allowed.

    Raises:
        ValueError: ``given`` is none of them.
    """
    found = _wanted({"title": "answer", **_ANY_OBJECT} if given is None else given)
    schema = closed(found.schema) if strict else found.schema
    if found.grows and not is_typeddict(given):
        return _of_schema(found.name, found.description, schema)
    return Wanted(found.name, found.description, schema, found.read, found.grows)


def _wanted(given: Any) -> Wanted:
    if isinstance(given, Mapping):
        return _of_dict(given)
    if isinstance(given, type) and is_basemodel_subclass(given):
        return _of_class(given) if issubclass(given, BaseModel) else _of_old_class(given)
    if is_typeddict(given):
        return _of_typed_dict(given)
    if isinstance(given, BaseTool) or inspect.isroutine(given):
        # A tool that answers is its arguments.
        from langchain_rocm.conversion.tools import openai_tool  # it needs this module

        return _of_dict(openai_tool(given))
    return _of_type(given)


# ---------------------------------------------------------------------------
# Dicts
# ---------------------------------------------------------------------------


def _of_dict(given: Mapping[str, Any]) -> Wanted:
    spec = function_spec(given)
    if spec is not None:
        name, description, schema = spec
        return _of_schema(name, description, dict(schema) or {**_ANY_OBJECT, "properties": {}})
    title = given.get("title")
    name = title if isinstance(title, str) and title else "answer"
    return _of_schema(name, str(given.get("description") or ""), dict(given))


def function_spec(given: Mapping[str, Any]) -> tuple[str, str, Mapping[str, Any]] | None:
    """Return name, description and schema of a function spec; ``None`` for a JSON schema.

    Args:
        given: in the form of OpenAI (bare, or with ``type`` and ``function``), Anthropic or
            Bedrock, or an OpenAI ``response_format``.
    """
    for key in ("function", "toolSpec", "json_schema"):
        if isinstance(given.get(key), Mapping):
            given = given[key]
    name = given.get("name")
    if not isinstance(name, str):
        return None
    schema: Any = {}
    for key in ("parameters", "input_schema", "inputSchema", "schema"):
        if isinstance(given.get(key), Mapping):
            schema = given[key]
    schema = schema.get("json", schema) if "inputSchema" in given else schema
    if not schema and not _OF_SCHEMAS.isdisjoint(given):
        return None
    return name, str(given.get("description") or ""), schema


def _of_schema(name: str, description: str, schema: dict[str, Any]) -> Wanted:
    return Wanted(name, description, schema, partial(_checked, schema), grows=True)


def _checked(schema: dict[str, Any], text: str) -> Any:
    from rocm_core.schema import check_answer  # not at the top: most programs have no schema

    return check_answer(json.loads(text), schema, text=text)


# ---------------------------------------------------------------------------
# Classes
# ---------------------------------------------------------------------------


def _of_class(cls: type[BaseModel]) -> Wanted:
    schema = cls.model_json_schema()
    name = str(schema.get("title") or cls.__name__)
    return Wanted(name, _description(schema), schema, partial(read_class, cls))


def _description(schema: Mapping[str, Any]) -> str:
    """The description at the top, or behind the reference that is the top of a recursive class."""
    reference = schema.get("$ref")
    found = resolved(reference, schema) if isinstance(reference, str) else None
    return str(schema.get("description") or (found or {}).get("description") or "")


def _of_old_class(cls: Any) -> Wanted:
    def read(text: str) -> Any:
        try:
            return cls.parse_obj(json.loads(text))
        except ValueError as error:  # pydantic v1's
            faults = [
                f"{path_text(fault['loc'])}: {fault['msg']} ({fault['type'].split('.')[0]})"
                for fault in error.errors()  # type: ignore[attr-defined]
            ]
            raise misfit(cls.__name__, faults, text) from error

    schema = convert_to_json_schema(cls)
    return Wanted(cls.__name__, str(schema.get("description") or ""), schema, read)


def _of_type(given: Any) -> Wanted:
    given = readable_by_pydantic(given)
    try:
        adapter = TypeAdapter(given)
        schema = adapter.json_schema()
    except PydanticUserError as error:
        raise ValueError(
            f"{given!r} is no schema: give a pydantic class, a TypedDict, a dataclass, an Enum, a "
            f"tool, a function spec or a JSON schema. pydantic says: {error}"
        ) from error
    name = str(schema.get("title") or getattr(given, "__name__", None) or "answer")
    return Wanted(name, _description(schema), schema, partial(read_type, adapter, name, schema))


# ---------------------------------------------------------------------------
# TypedDicts
# ---------------------------------------------------------------------------


def _of_typed_dict(given: Any) -> Wanted:
    """LangChain has a notation of its own: ``Annotated[str, "default", "description"]``.

    pydantic does not know it, so that a dict with a default would lack a key: such dicts are
    checked by the schema alone.
    """
    adapter = TypeAdapter(given := readable_by_pydantic(given))
    schema = adapter.json_schema(schema_generator=_WithNotes)
    name = str(schema.get("title") or given.__name__)
    found = _of_schema(name, _description(schema), schema)
    if schema == adapter.json_schema():
        read = partial(read_type, adapter, name, schema)
        return Wanted(name, found.description, schema, read, grows=True)
    return found


class _WithNotes(GenerateJsonSchema):
    """Reads LangChain's notation in every TypedDict."""

    def typed_dict_schema(self, schema: Any) -> dict[str, Any]:
        made = super().typed_dict_schema(schema)
        if (cls := schema.get("cls")) is None:
            return made
        for name, hint in get_type_hints(cls, include_extras=True).items():
            notes = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
            field = made.get("properties", {}).get(name)
            if field is None or not notes or not _is_notation(notes):
                continue
            if len(notes) > 1:
                field.setdefault("description", notes[1])
            if notes[0] is not ... and name in made.get("required", ()):
                made["required"] = [each for each in made["required"] if each != name]
                field.setdefault("default", notes[0])
        return made


def _is_notation(notes: tuple[Any, ...]) -> bool:
    """Whether these are a default (``...`` for none) and perhaps a description."""
    if notes[0] is not ... and not isinstance(notes[0], (str, int, float, list, dict, type(None))):
        return False  # pydantic's Field, or something of another library
    return len(notes) == 1 or isinstance(notes[1], str)
