"""Users who lead conversations, for locust (https://locust.io).

    pip install locust
    locust -f benchmarks/scale/locustfile.py --headless -u 50 -r 10 -t 60s --host http://127.0.0.1:8000

The key is read from ``LLAMA_ROCM_API_KEY``. "first token" and "answer" are the two times of each
stream; an answer without its end marker counts as a failure.
"""

from __future__ import annotations

import os
import secrets
import time

from locust import HttpUser, between, task

_KEY = os.environ.get("LLAMA_ROCM_API_KEY", "")
_TURNS, _TOKENS = 4, 60
_END = b"data: [DONE]"


class Talker(HttpUser):
    """One conversation after the other."""

    wait_time = between(0.1, 1.0)

    @task
    def conversation(self) -> None:
        """Ask, read the stream, and ask again."""
        messages: list[dict[str, str]] = []
        for _ in range(_TURNS):
            messages.append({"role": "user", "content": secrets.token_hex(60)})
            if not self._answer(messages):
                return
            messages.append({"role": "assistant", "content": "So it is."})
            self.wait()

    def _answer(self, messages: list[dict[str, str]]) -> bool:
        body = {"messages": messages, "max_tokens": _TOKENS, "stream": True}
        headers = {"Authorization": f"Bearer {_KEY}"} if _KEY else {}
        begun, first, last = time.monotonic(), None, b""
        path = "/v1/chat/completions"
        with self.client.post(
            path, json=body, headers=headers, stream=True, catch_response=True, name="answer"
        ) as reply:
            for line in reply.iter_lines():
                first = first or time.monotonic()
                last = line or last
            # Else it is the time until the head of the answer.
            reply.request_meta["response_time"] = 1000 * (time.monotonic() - begun)
            whole = reply.status_code == 200 and last.strip() == _END
            if not whole:
                reply.failure(f"HTTP {reply.status_code}, ended with {last[:80]!r}")
        if first is not None:
            took = 1000 * (first - begun)
            self.environment.events.request.fire(
                request_type="SSE", name="first token", response_time=took, response_length=0
            )
        return whole
