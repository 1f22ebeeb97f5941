"""A hub of models on this machine, as llama.cpp asks one for ``-hf org/repo[:quant]``.

    with Hub({"org/tiny": ["tiny-Q4_K_M.gguf"]}, content) as hub:
        load_model("org/tiny", environment=hub.environment(tmp_path))

Endpoints: llama.cpp ``common/hf-cache.cpp`` (refs and tree of the API, ``/resolve/``). A repository
that it does not have is answered with 404. It serves ranges, as the real one does. With ``slow_at``
it sends a file up to that byte and no further before ``go_on`` is set.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from tests.support.programs import PATIENCE

_COMMIT = "a" * 40


class Hub:
    """The server.

    Attributes:
        asked: the paths of the requests.
        keys: what authorized them.
        ranges: the headers ``Range`` of the downloads, empty for none.
        go_on: lets a slow download go on.
    """

    def __init__(
        self,
        repositories: Mapping[str, Sequence[str]],
        content: bytes,
        slow_at: int | None = None,
    ) -> None:
        self.asked: list[str] = []
        self.ranges: list[str] = []
        self.go_on = threading.Event()
        self.keys: set[str | None] = set()
        hub, digest = self, hashlib.sha256(content).hexdigest()

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                """Stay quiet."""

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                hub.asked.append(f"{self.command} {self.path}")
                hub.keys.add(self.headers.get("Authorization"))
                body = hub.body(self.path, repositories, content, digest)
                first = self.first_byte()
                behind = body is not None and 0 < len(body) <= first
                status = 404 if body is None else 416 if behind else 206 if first else 200
                self.send_response(status)
                body = (body or b"")[first:]
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("ETag", f'"{digest}"')
                self.end_headers()
                if self.command == "GET":
                    with contextlib.suppress(ConnectionError):  # a download that was stopped
                        self.send(body, "/resolve/" in self.path and not first)

            def first_byte(self) -> int:
                given = self.headers.get("Range", "")
                if self.command == "GET" and "/resolve/" in self.path:
                    hub.ranges.append(given)
                return int(given.removeprefix("bytes=").removesuffix("-")) if given else 0

            def send(self, body: bytes, slow: bool) -> None:
                at = slow_at if slow and slow_at is not None else len(body)
                self.wfile.write(body[:at])
                if at < len(body):
                    hub.go_on.wait(PATIENCE)
                    self.wfile.write(body[at:])

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @staticmethod
    def body(
        path: str, repositories: Mapping[str, Sequence[str]], content: bytes, digest: str
    ) -> bytes | None:
        """Return the answer to a request; ``None`` for 404."""
        for name, files in repositories.items():
            if path == f"/api/models/{name}/refs":
                main = {"name": "main", "ref": "refs/heads/main", "targetCommit": _COMMIT}
                return json.dumps({"branches": [main], "tags": [], "converts": []}).encode()
            if path.startswith(f"/api/models/{name}/tree/"):
                size = len(content)
                lfs = {"oid": digest, "size": size, "pointerSize": 130}
                listed = [
                    {"type": "file", "path": file, "size": size, "oid": "b" * 40, "lfs": lfs}
                    for file in files
                ]
                return json.dumps(listed).encode()
            if path.startswith(f"/{name}/resolve/"):
                return content
        return None

    def environment(self, cache: Path) -> dict[str, str | None]:
        """Return the variables for a server that downloads from here into ``cache``."""
        port = self._server.server_address[1]
        proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"))
        url = f"http://127.0.0.1:{port}/"
        return {**proxies, "HF_ENDPOINT": url, "HF_HUB_CACHE": str(cache), "LLAMA_CACHE": None}

    def __enter__(self) -> Hub:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
