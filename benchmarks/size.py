"""How much is measured. Plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """Repetitions and lengths; the defaults take some minutes on two idle cores.

    Attributes:
        rounds: rounds that count; one more is run before.
        chunks: pieces of an answer.
        short, long: pieces of the two answers whose cost per piece is compared.
        history: messages of a long conversation.
        memory: pieces of the answer whose memory is measured.
        requests: requests for the time to the first token.
        seconds: how long many streams run at once.
        streams: the most that are tried.
        prompts: prompts of a batch, over ``slots`` slots.
        interpreters: fresh interpreters, for imports and constructors.
        starts: starts of a real server.
        conversations: how many are interleaved on 4 slots.
        documents: how many are chunked.
        decisions: rounds of a choice, asked in two ways.
        distinct: after how many distinct prompts a server's resident memory is read.
    """

    rounds: int = 5
    chunks: int = 2000
    short: int = 2000
    long: int = 20_000
    history: int = 200
    memory: int = 100_000
    requests: int = 40
    seconds: float = 5.0
    streams: int = 1200
    prompts: int = 64
    slots: int = 4
    interpreters: int = 3
    starts: int = 7
    conversations: tuple[int, ...] = (1, 4, 16)
    documents: int = 150
    decisions: int = 40
    distinct: tuple[int, ...] = (1, 50, 200, 500)


TINY = Size(
    rounds=1,
    chunks=20,
    short=5,
    long=20,
    history=3,
    memory=50,
    requests=2,
    seconds=0.2,
    streams=4,
    prompts=4,
    slots=2,
    interpreters=1,
    starts=1,
    conversations=(2,),
    documents=2,
    decisions=2,
    distinct=(1, 2),
)
