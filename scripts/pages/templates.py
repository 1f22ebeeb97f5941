"""The text of ``docs/reference/templates.md``, from what the room ``model/template`` looks for."""

from __future__ import annotations

import json
from collections.abc import Iterator

from rocm_core.model.template.enforcement import HANDLERS
from rocm_core.model.template.variables.switches import (
    EFFORT_VARIABLES,
    EFFORTS,
    KEEPING,
    TAGS,
    VARIABLES,
)

_HEAD = """\
# Chat templates

<!-- Generated from rocm_core.model.template by `python -m scripts.generate`; change it there. -->

A chat template turns a conversation into a prompt. Templates agree on no names, so llama-rocm lets
the server render small probes and sends what changes the prompt: [how that works](../thinking.md).
These are the names that it tries.

## Thinking

`reasoning=True` and `False` set `enable_thinking`, and the first of these that changes the prompt.

| variable of the template | for thinking | for none |
|---|---|---|
"""
_EFFORT = """
## Effort

`reasoning="low"` and other words set whichever of these changes the prompt: {variables}.
Probes try {efforts}; a template may know others, and an error names those that it takes.

## Earlier thoughts

Thoughts that you send back are kept by the first of these that makes the template show them.

| sent |
|---|
"""
_SCHEMAS = """
## Where a schema needs another way

For these, llama.cpp makes no grammar of a response format; the answer would be free text.
llama-rocm asks for one token, sees it, and gets the answer from the completion endpoint, with the
schema.

| templates of | when |
|---|---|
"""


def templates() -> str:
    """Return the text of ``docs/reference/templates.md``."""
    efforts = {
        "variables": ", ".join(f"`{name}`" for name in EFFORT_VARIABLES),
        "efforts": ", ".join(f"`{effort}`" for effort in EFFORTS),
    }
    handlers = (f"| {models} | {when} |\n" for models, when in HANDLERS.items())
    parts = [_HEAD, *_switches(), _EFFORT.format(**efforts), *_kept(), _SCHEMAS, *handlers]
    return "".join(parts)


def _switches() -> Iterator[str]:
    for name, on, off in VARIABLES:
        yield f"| `{name}` | `{json.dumps(on)}` | `{json.dumps(off)}` |\n"
    yield f"| none: words in the system message | `{TAGS[0]}` | `{TAGS[1]}` |\n"


def _kept() -> Iterator[str]:
    for variables in KEEPING:
        sent = ", ".join(f"`{name}: {json.dumps(value)}`" for name, value in variables.items())
        yield f"| {sent or 'nothing: the template shows them anyway'} |\n"
