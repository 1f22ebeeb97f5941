"""Conversations that share nothing, and how much of their prompts the servers had in a cache."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any

import httpx

from tests.scale.cluster.support import KEY, PATIENCE, Served

# Requests at once: as many as three replicas have slots.
AT_ONCE = 12
# Characters of what the user says in each turn: a token each, for the reciter.
TURN = 400


@dataclass
class Share:
    """Tokens of all prompts, and of those in a cache; later turns, and those that moved."""

    cached: int = 0
    prompt: int = 0
    later: int = 0
    moved: int = 0

    @property
    def value(self) -> float:
        return self.cached / self.prompt


async def cached_share(served: Served, conversations: int, turns: int, *, spread: bool) -> Share:
    """Lead conversations, and return the cached share of their prompts.

    Args:
        served: the application.
        conversations: how many, side by side.
        turns: of each.
        spread: every request goes to any replica, as if it began a conversation.
    """
    share, places = Share(), asyncio.Semaphore(AT_ONCE)

    async def lead(client: httpx.AsyncClient) -> None:
        messages: list[dict[str, str]] = []
        home = ""
        for _ in range(turns):
            messages.append({"role": "user", "content": secrets.token_hex(TURN // 2)})
            headers = {"X-Session-Id": secrets.token_hex(8)} if spread else {}
            async with places:
                answer, replica = await _ask(client, messages, headers)
            share.later += bool(home)
            share.moved += home not in ("", replica)
            home = replica
            timings = answer["timings"]
            share.cached += timings["cache_n"]
            share.prompt += timings["cache_n"] + timings["prompt_n"]
            messages.append(answer["choices"][0]["message"])

    auth = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=served.url, headers=auth, timeout=PATIENCE) as client:
        await asyncio.gather(*(lead(client) for _ in range(conversations)))
    return share


async def _ask(
    client: httpx.AsyncClient, messages: list[dict[str, str]], headers: dict[str, str]
) -> tuple[Any, str]:
    body = {"messages": messages, "max_tokens": 4, "temperature": 0}
    reply = await client.post("/v1/chat/completions", json=body, headers=headers)
    reply.raise_for_status()
    return reply.json(), reply.headers["x-replica"]
