"""A server that understands: an OpenAI-shaped endpoint whose answers a function writes.

The real engines run models that cannot understand anything. What needs understanding (a tool
called with the right number) is answered here, over the same wire, streamed in small pieces.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.fake_server import capture

Body = dict[str, Any]
# What an answer says: text, reasoning and tool calls, as a message of the API.
Author = Callable[[Body], Body]


class ScriptedServer(ThreadingHTTPServer):
    """``author`` answers the chat requests; ``bodies`` keeps them."""

    daemon_threads = True

    def __init__(self, author: Author, props: Body | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.author = author
        self.bodies: list[Body] = []
        self.props = json.loads(capture("props.b11434")) | (props or {})
        self.url = f"http://127.0.0.1:{self.server_port}"


@contextmanager
def scripted(author: Author, props: Body | None = None) -> Iterator[ScriptedServer]:
    """A running server."""
    with ScriptedServer(author, props) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedServer

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        if self.path == "/props":
            self._json(self.server.props)
        elif self.path == "/v1/models":
            self._json(json.loads(capture("v1_models.b11434")))
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/apply-template":
            self._json({"prompt": json.dumps(body["messages"])})
        elif self.path == "/v1/chat/completions":
            self.server.bodies.append(body)
            self._stream(body, self.server.author(body))
        else:
            self.send_error(404)

    def _json(self, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, body: Body, message: Body) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for delta in _deltas(message):
            self._event(body, choices=[{"index": 0, "delta": delta, "finish_reason": None}])
        reason = message.get("finish_reason") or (
            "tool_calls" if "tool_calls" in message else "stop"
        )
        self._event(body, choices=[{"index": 0, "delta": {}, "finish_reason": reason}])
        usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
        cached = {"prompt_tokens_details": {"cached_tokens": 4}}
        self._event(body, choices=[], usage=usage | cached, timings={"predicted_n": 5})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, body: Body, **fields: Any) -> None:
        event = {"model": body.get("model", "scripted"), "object": "chat.completion.chunk"} | fields
        self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")


def _deltas(message: Body) -> Iterator[Body]:
    yield {"role": "assistant", "content": None}
    for kind in ("reasoning_content", "content"):
        for piece in _pieces(message.get(kind) or ""):
            yield {kind: piece}
    for index, call in enumerate(message.get("tool_calls", ())):
        head = {"name": call["name"], "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": f"id-{index}", "function": head}]}
        arguments = call["args"] if isinstance(call["args"], str) else json.dumps(call["args"])
        for piece in _pieces(arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), 7):
        yield text[start : start + 7]


# ---------------------------------------------------------------------------
# An author for LangChain's standard suite
# ---------------------------------------------------------------------------

_ARGUMENTS = {
    "magic_function": {"input": 3},
    "get_weather": {"location": "San Francisco, CA"},
    "unicode_customer": {"customer_name": "你好啊集团, こんにちは株式会社", "description": "x"},
}


def understanding(body: Body) -> Body:
    """Answers what the standard suite asks for."""
    if format_ := body.get("response_format"):
        return {"content": json.dumps(sample(format_["json_schema"]["schema"]))}
    last = body["messages"][-1]
    tools = [tool["function"] for tool in body.get("tools", ())]
    if tools and last["role"] != "tool" and body.get("tool_choice") != "none":
        tool = tools[0]
        args = _ARGUMENTS.get(tool["name"]) or sample(tool["parameters"])
        return {"tool_calls": [{"name": tool["name"], "args": args}]}
    return {"content": "An answer in a few words."}


def sample(schema: Body, defs: Body | None = None) -> Any:
    """Some value of ``schema``."""
    defs = defs or schema.get("$defs") or {}
    if "$ref" in schema:
        return sample(defs[schema["$ref"].rpartition("/")[2]], defs)
    if "enum" in schema:
        return schema["enum"][0]
    for several in ("anyOf", "allOf", "oneOf"):
        if several in schema:
            return sample(schema[several][0], defs)
    kind = schema.get("type", "object")
    if kind == "object":
        return {name: sample(each, defs) for name, each in schema.get("properties", {}).items()}
    if kind == "array":
        return [sample(schema.get("items", {"type": "string"}), defs)]
    return {"string": "x", "integer": 3, "number": 1.5, "boolean": True, "null": None}[kind]
