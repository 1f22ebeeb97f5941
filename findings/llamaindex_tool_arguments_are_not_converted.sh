#!/usr/bin/env bash
# FunctionTool makes the schema of a tool from its annotations with Pydantic, and calls the function
# with whatever the model wrote.
#
#   expected   arguments validated against that schema, and converted as annotated (as by the tools of
#              other frameworks): a model object, a date, an int; an error for what does not fit
#   seen       a dict for a Pydantic model, text for a date and for an int, and "zzz" for
#              Literal["a", "b"]; no error, also for a dict without a required field
#
# Versions: llama-index-core 0.14.25.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet llama-index-core==0.14.25
"$work/venv/bin/python" - <<'PY'
import datetime
from typing import Literal

from llama_index.core.tools import FunctionTool
from pydantic import BaseModel


class Point(BaseModel):
    """A place."""

    x: int
    y: int


given: list[object] = []


def book(point: Point, day: datetime.date, seats: int, kind: Literal["a", "b"]) -> str:
    """Book."""
    given[:] = [point, day, seats, kind]
    return "booked"


tool = FunctionTool.from_defaults(book)
schema = tool.metadata.get_parameters_dict()
print("schema:", {name: part for name, part in schema["properties"].items()})
answer = tool.call(point={"x": 1}, day="2026-01-31", seats="5", kind="zzz")
print("the function got:", given, "| error:", answer.is_error)
as_before = given == [{"x": 1}, "2026-01-31", "5", "zzz"] and not answer.is_error
raise SystemExit(0 if as_before else "the behavior has changed")
PY
