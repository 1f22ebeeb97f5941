"""What came of a request for structured output: a valid value, or a refusal in clear words.

Anything else, such as a server's own error or a message without a field, fails the test.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

import jsonschema
from pydantic import BaseModel, TypeAdapter
from typing_extensions import is_typeddict

from rocm_core.errors import ConfigError
from tests.support.pydantic_models import SCHEMAS

ANY_TOKEN: dict[str, Any] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
"""Options of sampling that leave out no token for being unlikely."""

Outcome = Literal["valid", "beyond", "refused"]
"""``beyond``: a number in the arguments of a call is beyond the range of a float, which no grammar
can rule out."""

# Where in the answer, and the keyword or the validator that refuses it.
_FAULT = re.compile(r"\$[^:]*: .+ \((\w+|a validator of the class)\)", re.DOTALL)
_PLACE = re.compile(r"\w(/[\w~]+)+: \S+")


def outcome(ask: Callable[[], Any], name: str) -> Outcome:
    """Return what ``ask``, a request for a value of the schema ``name``, comes to.

    Raises:
        AssertionError: neither a valid value, nor an error with field and keyword.
    """
    try:
        value = ask()
    except ConfigError as error:
        assert _PLACE.search(str(error)), f"no place and keyword: {error}"
        return "refused"
    except ValueError as error:
        # InvalidAnswer; or LlamaIndex's of a program, which repeats our message.
        assert _FAULT.search(str(error)), f"no field and keyword: {error}"
        if "is out of range (number)" in str(error):
            return "beyond"
        return "refused"
    assert_valid(value, SCHEMAS[name])
    return "valid"


def assert_valid(value: Any, schema: Any) -> None:
    """Fail unless ``value`` is one of ``schema``, by other code than the packages' own."""
    if isinstance(schema, dict):
        spec = schema.get("function", schema)
        plain = spec.get("parameters") or spec.get("input_schema") or schema
        jsonschema.validate(value, plain)
    elif is_typeddict(schema):
        jsonschema.validate(
            TypeAdapter(schema).dump_python(value, mode="json"),
            {**TypeAdapter(schema).json_schema(), "required": []},
        )
    else:
        assert isinstance(value, schema)
        if isinstance(value, BaseModel):
            type(value).model_validate(value)
