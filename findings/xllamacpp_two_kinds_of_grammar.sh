#!/usr/bin/env bash
# The server of the wheel xllamacpp holds a JSON schema in two different ways: on /completion by
# LLGuidance, in chats by llama.cpp's own grammar. So the same schema is stricter on one than on the
# other.
#
#   expected   {"type": "number", "minimum": 0, "maximum": 1} means the same on both
#   seen       /completion gives numbers from 0 to 1; /v1/chat/completions gives any number: llama.cpp's
#              grammar has bounds for integers only
#
# Versions: xllamacpp 2026.10.11549.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet xllamacpp==2026.10.11549 gguf==0.19.0 httpx==0.28.1
"$work/venv/bin/python" "$here/support/byte_model.py" "$work/model.gguf" gpt2
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work" <<'PY'
import json
import os
import sys

from embedded_server import EmbeddedServer
from messages import ascii_only, text

SCHEMA = {
    "type": "object",
    "properties": {"share": {"type": "number", "minimum": 0, "maximum": 1}},
    "required": ["share"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"schema": SCHEMA}}
server = EmbeddedServer(f"{sys.argv[1]}/model.gguf")
completions, chats = [], []
for seed in range(60):
    body = {"seed": seed, "max_tokens": 30, "logit_bias": ascii_only()}
    answer = server.post("/completion", {**body, "prompt": "x", "json_schema": SCHEMA})
    completions.append(str(answer["content"]))
    chat = {**body, "messages": [text("user", "x")], "response_format": FORMAT}
    answer = server.post("/v1/chat/completions", chat)
    chats.append(str(answer["choices"][0]["message"]["content"]))


def shares(answers: list[str]) -> list[float]:
    found = []
    for answer in answers:
        try:
            found.append(json.loads(answer)["share"])
        except ValueError:
            continue  # cut at the token limit
    return found


beyond = {}
for name, answers in (("/completion", completions), ("/v1/chat/completions", chats)):
    numbers = shares(answers)
    beyond[name] = [number for number in numbers if not 0 <= number <= 1]
    print(f"{name}: {len(beyond[name])} of {len(numbers)} are beyond 0 to 1,", beyond[name][:4])
    assert numbers
sys.stdout.flush()
os._exit(0 if beyond["/v1/chat/completions"] and not beyond["/completion"] else 1)
PY
