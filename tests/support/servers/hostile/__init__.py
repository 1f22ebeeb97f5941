"""Answers that no healthy llama-server sends, as data: what was sent, and what has to come of it.

    http      status lines, heads, framings, redirects, pages, packed and unhurried bodies
    chunks    one chunk of a stream with something else in one of its fields
    streams   heartbeats, end markers, several answers, answers that are no stream
    vectors   embeddings, ranks and facts

Everything is served on loopback by ``FakeServer``, and harmless: small, and soon over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rocm_core.errors import RocmError
from tests.support.servers.fake_server import CUT, Reply, Step

# The right answer of every case that has one.
TEXT = "Hello world"
# What one call takes at most, for cases whose answer would take longer.
LIMIT = 0.3


@dataclass(frozen=True)
class Case:
    """One answer of a server.

    Attributes:
        name: of the case.
        reply: what the server sends.
        says: the text that has to come; ``None``: an error.
        calls: names and arguments of the tool calls that have to come.
        raises: the error has one of these classes; empty: any of our tree will do, as will a text.
        words: what the error's message has to contain.
        slow: it ends by ``LIMIT``.
    """

    name: str
    reply: Reply
    says: str | None = None
    calls: tuple[tuple[str, Any], ...] = ()
    raises: tuple[type[RocmError], ...] = ()
    words: str = ""
    slow: bool = False


def raw(*steps: Step) -> Reply:
    """These bytes instead of an HTTP answer, and the end of the connection."""
    return Reply(before=[*steps, CUT])


def drip(data: bytes, pause: float = 0.02) -> list[Step]:
    """The bytes one by one, with a pause after each."""
    return [step for byte in data for step in (bytes([byte]), pause)]
