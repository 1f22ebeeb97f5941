"""Replicas that nobody here has: 8, 64 and 1,000, by arithmetic and a simulation of routing.

What is measured here goes in as a constant with its source; what is assumed is in ``Assumed``. The
placement is the product's own code, so its cost is measured, and not assumed.
"""

from __future__ import annotations

import heapq
import random
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from rocm_core.scale.routing.placement import Placement


@dataclass(frozen=True)
class Assumed:
    """What the simulation takes for given.

    Attributes:
        slots: of each replica.
        tokens_per_second: of a replica with all slots busy. Published for the RX 7800 XT: 166 to
            239 on 4 slots with an 8B model in Q4 (and 77 to 107 for a single stream).
        prefill_per_second: prompt tokens per second of a replica.
        answer: tokens of an answer.
        turn: tokens that the user adds in each turn.
        turns: of a conversation, each as soon as the answer to the last one has come and the user
            has thought.
        think_seconds: between an answer and the next turn.
        kept: conversations whose prompts a replica keeps in its cache.
        load: share of all slots that is busy on average.
        load_seconds: from the decision for one more replica to its first answer: an 8B model read
            from a local SSD, as measured by others, and Ray's own 3 s (measured here: 4 s with a
            small model).
        upscale_delay: of Ray Serve's autoscaling (its default).
        proxy_tokens_per_second: that one proxy and front pass on, on one core each (measured with
            ``--measure``: a chunk for each token).
        card_price, card_watts, electricity: of one card with its share of a machine, in euros; its
            power under load; euros for a kWh.
        card_years: after which it is written off.
    """

    slots: int = 4
    tokens_per_second: float = 200.0
    prefill_per_second: float = 1500.0
    answer: int = 250
    turn: int = 150
    turns: int = 6
    think_seconds: float = 20.0
    kept: int = 20
    load: float = 0.7
    load_seconds: float = 15.0
    upscale_delay: float = 30.0
    proxy_tokens_per_second: float = 2600.0
    card_price: float = 900.0
    card_watts: float = 250.0
    electricity: float = 0.30
    card_years: float = 3.0


@dataclass
class Result:
    """Of one number of replicas.

    Attributes:
        routing_ms: of the placement of one request, in milliseconds of CPU time.
        cached, cached_random: share of prompt tokens that was cached.
        moved: share of later turns that went to another replica than the turn before.
    """

    replicas: int
    routing_ms: float
    cached: float
    cached_random: float
    moved: float


@dataclass
class _Replica:
    busy: int = 0
    waiting: deque[_Turn] = field(default_factory=deque)
    # Conversation → tokens of its prompt in the cache, the one used last at the end.
    cache: OrderedDict[int, int] = field(default_factory=OrderedDict)


@dataclass
class _Turn:
    conversation: int
    number: int
    prompt: int


class Simulation:
    """Conversations that come and go, on replicas with slots and prompt caches."""

    def __init__(self, replicas: int, assumed: Assumed, *, aware: bool, seed: int = 1) -> None:
        self._assumed, self._aware = assumed, aware
        self._rng = random.Random(seed)
        self._placement = Placement(assumed.slots, random.Random(seed))
        self._names = [f"r{number}" for number in range(replicas)]
        self._replicas = {name: _Replica() for name in self._names}
        self._events: list[tuple[float, int, str, object]] = []
        self._counter = 0
        self._last: dict[int, str] = {}
        self.cached = self.prompt = self.turns = self.later = self.moved = 0
        self.routing = 0.0

    def run(self, conversations: int) -> None:
        """Lead so many conversations, at the assumed load."""
        seconds = self._seconds_of_a_conversation()
        # Little's law: conversations that compute at once, over how long each of them computes.
        rate = self._assumed.load * self._assumed.slots * len(self._names) / seconds
        at = 0.0
        for number in range(conversations):
            at += self._rng.expovariate(rate)
            self._at(at, "turn", _Turn(number, 0, self._assumed.turn))
        while self._events:
            now, _, kind, what = heapq.heappop(self._events)
            if kind == "turn":
                assert isinstance(what, _Turn)
                self._arrive(now, what)
            else:
                assert isinstance(what, tuple)
                self._leave(now, *what)

    def _seconds_of_a_conversation(self) -> float:
        a = self._assumed
        # A slot has its share of the replica's tokens per second.
        return a.turns * a.answer / (a.tokens_per_second / a.slots)

    def _at(self, when: float, kind: str, what: object) -> None:
        self._counter += 1
        heapq.heappush(self._events, (when, self._counter, kind, what))

    def _arrive(self, now: float, turn: _Turn) -> None:
        key = str(turn.conversation) if self._aware else ""
        begun = time.process_time()
        ranks = self._placement.ranked(key, self._names, self._load)
        name = min(ranks[0], key=self._load)
        self._placement.went_to(key, name)
        self.routing += time.process_time() - begun
        self.turns += 1
        if turn.number:
            self.later += 1
            self.moved += name != self._last[turn.conversation]
        self._last[turn.conversation] = name
        replica = self._replicas[name]
        if replica.busy < self._assumed.slots:
            self._begin(now, name, turn)
        else:
            replica.waiting.append(turn)

    def _load(self, name: str) -> int:
        replica = self._replicas[name]
        return replica.busy + len(replica.waiting)

    def _begin(self, now: float, name: str, turn: _Turn) -> None:
        a, replica = self._assumed, self._replicas[name]
        replica.busy += 1
        known = replica.cache.pop(turn.conversation, 0)
        self.cached += min(known, turn.prompt)
        self.prompt += turn.prompt
        seconds = (turn.prompt - known) / a.prefill_per_second
        seconds += a.answer / (a.tokens_per_second / a.slots)
        self._at(now + seconds, "done", (name, turn))

    def _leave(self, now: float, name: str, turn: _Turn) -> None:
        a, replica = self._assumed, self._replicas[name]
        replica.busy -= 1
        replica.cache[turn.conversation] = turn.prompt + a.answer
        while len(replica.cache) > a.kept:
            replica.cache.popitem(last=False)
        if replica.waiting:
            self._begin(now, name, replica.waiting.popleft())
        if turn.number + 1 < a.turns:
            again = now + self._rng.expovariate(1 / a.think_seconds)
            prompt = turn.prompt + a.answer + a.turn
            self._at(again, "turn", _Turn(turn.conversation, turn.number + 1, prompt))


def simulate(replicas: int, assumed: Assumed, conversations_each: int = 40) -> Result:
    """Simulate one number of replicas, with routing by prefix and at random."""
    runs = [Simulation(replicas, assumed, aware=aware) for aware in (True, False)]
    for run in runs:
        run.run(conversations_each * replicas)
    aware, other = runs
    return Result(
        replicas,
        1000 * aware.routing / aware.turns,
        aware.cached / aware.prompt,
        other.cached / other.prompt,
        aware.moved / aware.later,
    )


def cost_per_million(assumed: Assumed) -> float:
    """Return the euros for a million tokens of answers, at the assumed load."""
    a = assumed
    an_hour = a.card_price / (a.card_years * 365 * 24) + a.card_watts / 1000 * a.electricity
    return an_hour / (a.tokens_per_second * a.load * 3600) * 1e6


def table(numbers: Sequence[int], assumed: Assumed | None = None) -> str:
    """Return the Markdown table."""
    a = assumed or Assumed()
    rows = [
        "| replicas | placement of a request | cached share, by prefix | at random | turns that "
        "moved | tokens per second | proxies and fronts | one more replica after |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for number in numbers:
        result = simulate(number, a)
        tokens = number * a.tokens_per_second * a.load
        fronts = max(1, -(-tokens // a.proxy_tokens_per_second))
        rows.append(
            f"| {number:,} | {result.routing_ms:.3f} ms | {result.cached:.0%} | "
            f"{result.cached_random:.0%} | {result.moved:.1%} | {tokens:,.0f} | {fronts:,.0f} | "
            f"{a.upscale_delay + a.load_seconds:.0f} s |"
        )
    cost = f"A million tokens cost {cost_per_million(a):.2f} euros at a load of {a.load:.0%}."
    return "\n".join([*rows, "", cost])
