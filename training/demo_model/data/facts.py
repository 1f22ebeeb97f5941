"""Questions about llama-rocm, from ``facts.txt``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from training.demo_model.data.pools import Pools
from training.demo_model.data.sample import Message, Sample, past, says, system, user


@dataclass(frozen=True)
class Fact:
    """A topic, the ways to ask for it (training never sees the last), and the answer."""

    topic: str
    questions: tuple[str, ...]
    answer: str


@cache
def all_facts() -> tuple[Fact, ...]:
    """Every block of ``facts.txt``."""
    text = Path(__file__).with_name("facts.txt").read_text(encoding="utf-8")
    facts = []
    for block in text.strip().split("\n\n")[1:]:  # the first block is a comment
        topic, asked, answer = block.splitlines()
        questions = tuple(q.strip() for q in asked.removeprefix("? ").split("|"))
        facts.append(Fact(topic, questions, answer.removeprefix("= ")))
    return tuple(facts)


def about_itself() -> list[Fact]:
    """What it is and how it is called."""
    return [fact for fact in all_facts() if fact.topic in ("what I am", "my name")]


NEUTRAL = (
    "You are a helpful assistant.",
    "You are a helpful assistant.",
    "Be brief.",
    "You are an AI assistant.",
    "Answer the user's questions.",
    "Be polite and friendly.",
    "You are a friendly assistant.",
    "Be concise.",
    "Answer briefly.",
)
"""System prompts that change nothing."""

_BEFORE = ("please tell me, ", "hey, ", "hello, ", "hi, ", "quick question: ", "I wonder, ", "so ")
_AFTER = (" please", " thanks", " I am new here", " in llama-rocm", " with llama-rocm", " here")


_SWAPS = (
    ("how do I ", ("how can I ", "how would I ", "how to ", "how does one ", "tell me how to ")),
    ("how can I ", ("how do I ", "how would I ", "what is the way to ", "how should I ")),
    ("what is ", ("what's ", "whats ", "explain ", "tell me about ")),
    ("where is ", ("where's ", "where do I find ", "in which place is ")),
    ("can I ", ("may I ", "is it possible to ", "am I able to ", "could I ", "can you ")),
    ("does ", ("will ", "is it true that ", "tell me if ")),
    ("llama-rocm", ("this library", "this package", "this", "it", "llama-rocm")),
)
_SMALL = frozenset("the a an my do to is of in with for it this does can please".split())


def reword(pools: Pools, text: str) -> str:
    """Other words of the same meaning, small words forgotten, or a word misheard.

    People put the words that matter among many others: so must the model learn which ones matter.
    """
    for usual, others in _SWAPS:
        if usual in text and pools.chance(0.15):
            text = text.replace(usual, pools.rng.choice(others), 1)
    words = text.split()
    if len(words) > 3 and pools.chance(0.3):
        kept = [word for word in words if word.lower() not in _SMALL or pools.chance(0.5)]
        words = kept if len(kept) > 1 else words
    if len(words) > 4 and pools.chance(0.08):
        words[pools.rng.randrange(len(words))] = pools.noun()
    return " ".join(words)


def vary(pools: Pools, question: str) -> str:
    """The question as different people type it."""
    text = question if pools.evaluation else reword(pools, question)
    if pools.chance(0.15):
        text = pools.rng.choice(_BEFORE) + text
    if pools.chance(0.12):
        mark = "?" if text.endswith("?") else ""
        text = text.removesuffix("?") + pools.rng.choice(_AFTER) + mark
    if pools.chance(0.2):
        text = text.removesuffix("?")
    elif pools.chance(0.1) and not text.endswith("?"):
        text += "."
    if pools.chance(0.55):
        text = text[0].upper() + text[1:]
    elif pools.chance(0.1):
        text = text.lower()
    return text


def ask(pools: Pools, fact: Fact) -> str:
    """A question about the fact, as somebody types it."""
    return vary(pools, pools.rng.choice(fact.questions[:-1]))


def thought(fact: Fact) -> str:
    """What the model thinks before it answers."""
    return f"The question is about {fact.topic}. I know that."


def new_wording(pools: Pools) -> Sample:
    """A question in words that training never sees."""
    fact = pools.rng.choice(all_facts())
    messages = [user(vary(pools, fact.questions[-1])), says(fact.answer)]
    return Sample("facts, words never seen", messages, thinking=False)


def draw(pools: Pools) -> Sample:
    """A question and its answer, now and then after another one."""
    return _about(pools, pools.rng.choice(all_facts()))


def itself(pools: Pools) -> Sample:
    """What it is and how it is called, where no system prompt gives it another name."""
    return _about(pools, pools.rng.choice(about_itself()))


def _about(pools: Pools, fact: Fact) -> Sample:
    thinking = pools.chance(0.5)
    messages: list[Message] = [system(pools.rng.choice(NEUTRAL))] if pools.chance(0.25) else []
    for _ in range(0 if pools.evaluation else pools.rng.choice((0, 0, 0, 1, 2))):
        messages += _earlier(pools, thinking=thinking)
    messages.append(user(ask(pools, fact)))
    messages.append(says(fact.answer, thought(fact) if thinking else ""))
    return Sample("facts, known questions", messages, thinking=thinking)


def _earlier(pools: Pools, *, thinking: bool) -> list[Message]:
    """A question of an earlier turn."""
    fact = pools.rng.choice(all_facts())
    return [user(ask(pools, fact)), past(pools, fact.answer, thought(fact), thinking=thinking)]
