"""Ask the model through the real engine: llama.cpp's server, started by our own supervisor."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from rocm_core.config import LoadConfig
from rocm_core.discover.refs import resolve_ref
from rocm_core.server import Server


class Engine:
    """A running server."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            httpx.HTTPStatusError: the server refused.
        """
        response = self._http.post(path, json=body)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer

    def props(self) -> dict[str, Any]:
        """The server's facts."""
        facts: dict[str, Any] = self._http.get("/props").json()
        return facts

    def chat(self, messages: list[Any], **fields: Any) -> dict[str, Any]:
        """The assistant's message, greedily, parsed by llama.cpp."""
        body = {"messages": messages, "temperature": 0, "max_tokens": 160, **fields}
        try:
            answer = self.post("/v1/chat/completions", body)
        except httpx.HTTPStatusError as error:  # an answer that the server cannot parse is wrong
            return {"content": error.response.text, "finish_reason": "error"}
        message: dict[str, Any] = answer["choices"][0]["message"]
        message["finish_reason"] = answer["choices"][0]["finish_reason"]
        return message


@contextlib.contextmanager
def engine(model: Path) -> Iterator[Engine]:
    """Serve ``model`` while the block runs."""
    server = Server(resolve_ref(str(model)), LoadConfig(port=0, threads=1, engine="embedded"))
    server.start()
    try:
        assert server.url and server.api_key  # it has a port, and it runs
        headers = {"Authorization": f"Bearer {server.api_key}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=120) as http:
            yield Engine(http)
    finally:
        server.stop()
