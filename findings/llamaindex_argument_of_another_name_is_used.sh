#!/usr/bin/env bash
# call_tool, by which predict_and_call runs what a model called: if a tool has one parameter and
# the call one argument, its name does not count.
#
#   expected   an error that tells the model of the unknown argument "force"
#   seen       the tool runs with dry_run=False, because the model wrote {"force": false}
#
# Versions: llama-index-core 0.14.25. With two arguments in the call the error comes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet llama-index-core==0.14.25
"$work/venv/bin/python" - <<'PY'
from llama_index.core.tools import FunctionTool
from llama_index.core.tools.calling import call_tool


def clean(dry_run: bool = True) -> str:
    """Clean up."""
    return f"ran with dry_run={dry_run}"


tool = FunctionTool.from_defaults(clean)
one = call_tool(tool, {"force": False})
two = call_tool(tool, {"force": False, "deep": True})
print("one argument of another name:", one.content, "| error:", one.is_error)
print("two:", two.content, "| error:", two.is_error)
as_before = one.content == "ran with dry_run=False" and not one.is_error and two.is_error
raise SystemExit(0 if as_before else "the behavior has changed")
PY
