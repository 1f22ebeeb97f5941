"""Greetings, thanks, names, system prompts, and what the model cannot do."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from training.demo_model.data.facts import NEUTRAL, all_facts, reword, vary
from training.demo_model.data.pools import Pools
from training.demo_model.data.sample import Message, Sample, says, system, user

BEYOND = (
    "I am only a tiny demo model, so I cannot help with that. "
    'Load a real model, for example with load_model("path/to/model.gguf").'
)
"""The answer to everything that is too much for it."""

TOO_HARD = "That is beyond a tiny demo model."
"""The thought before it."""

HELLO = "Hello! I am the llama-rocm demo model. How can I help you?"


@cache
def phrases() -> tuple[tuple[tuple[str, ...], str], ...]:
    """``small_talk.txt``: ways to say something, and the answer."""
    text = Path(__file__).with_name("small_talk.txt").read_text(encoding="utf-8")
    blocks = [block.splitlines() for block in text.strip().split("\n\n")[1:]]
    return tuple((tuple(said[2:].split(" | ")), answer[2:]) for said, answer in blocks)


@cache
def _questions() -> tuple[str, ...]:
    text = Path(__file__).with_name("beyond.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def beyond(pools: Pools) -> str:
    """A question that the model cannot answer."""
    line = pools.rng.choice(_questions())
    while "{" in line:
        for mark, make in (
            ("{noun}", pools.noun),
            ("{name}", pools.name),
            ("{city}", pools.city),
            ("{title}", pools.title),
            ("{pseudo}", pools.pseudo),
            ("{n}", lambda: str(pools.number())),
            ("{year}", lambda: str(pools.rng.randrange(1500, 2030))),
        ):
            line = line.replace(mark, make(), 1)
    if line.split()[0] in ("who", "what", "why", "how", "when", "which", "is", "can"):
        line += pools.choice("?", "?", "")
    elif pools.chance(0.2):
        line = pools.choice("please ", "can you ", "could you ") + line
    return vary(pools, line)


def phrase(pools: Pools) -> tuple[str, str]:
    """Something said, and the answer."""
    said, answer = pools.rng.choice(phrases())
    chosen = pools.rng.choice(said[:-1])
    return chosen if pools.evaluation else reword(pools, chosen), answer


def new_wording(pools: Pools) -> Sample:
    """Something said in words that training never sees."""
    said, answer = pools.rng.choice(phrases())
    return Sample("small talk, words never seen", [user(said[-1]), says(answer)], thinking=False)


def talk(pools: Pools) -> Sample:
    """Small talk."""
    said, answer = phrase(pools)
    messages = [user(said), says(answer)]
    if pools.chance(0.15):
        messages = [user("Hello"), says(HELLO, learn=False), *messages]
    elif pools.chance(0.3):
        said, answer = phrase(pools)
        messages = [user(said), says(answer), *messages]
    if pools.chance(0.25):
        messages.insert(0, system(pools.rng.choice(NEUTRAL)))
    return Sample("small talk, known phrases", messages, thinking=pools.chance(0.6))


def too_hard(pools: Pools) -> Sample:
    """A question beyond the model."""
    thinking = pools.chance(0.5)
    messages = [user(beyond(pools)), says(BEYOND, TOO_HARD if thinking else "")]
    if pools.chance(0.2):
        messages.insert(0, system(pools.rng.choice(NEUTRAL)))
    return Sample("beyond it", messages, thinking=thinking, contains="tiny demo model")


def tell(pools: Pools, name: str) -> str:
    """The user's name, told."""
    told = pools.choice(
        "My name is {}.",
        "I am {}.",
        "Hi, I'm {}.",
        "Call me {}.",
        "Hi, I am {}!",
        "my name is {}",
        "Hello, my name is {}.",
        "I'm {}, nice to meet you.",
    )
    return told.format(name)


def ask_name(pools: Pools) -> str:
    """The user's name, asked for."""
    return pools.choice(
        "What is my name?",
        "what's my name?",
        "Do you remember my name?",
        "Who am I?",
        "What am I called?",
        "Do you know my name?",
    )


def memory(pools: Pools) -> Sample:
    """The user's name, told in one turn and asked for in a later one."""
    name = pools.name() if pools.chance(0.85) else pools.foreign()
    told = tell(pools, name)
    messages: list[Message] = []
    known = pools.chance(0.85)
    if known:
        messages += [user(told), says(f"Nice to meet you, {name}!")]
    for _ in range(pools.rng.choice((0, 0, 1, 1, 2))):
        said, answer = (
            phrase(pools)
            if pools.chance(0.6)
            else (pools.rng.choice(all_facts()).questions[0], "I can tell you that.")
        )
        messages += [user(said), says(answer, learn=False)]
    asked = ask_name(pools)
    answer = f"Your name is {name}." if known else "You have not told me your name."
    messages += [user(asked), says(answer)]
    return Sample("memory of a name", messages, thinking=pools.chance(0.6))


# What a system prompt may ask for: a word at the end, at the start, alone; the names of the
# assistant and of the user.
_RULES = (
    ("End every answer with {}.", "Always end with the word {}.", "Finish each answer with {}."),
    ("Start every answer with {}.", "Always begin with the word {}.", "Begin each answer with {}."),
    (
        "Always answer with the word {}.",
        "Only say {}.",
        "Answer everything with {}.",
        "Reply only with {}.",
    ),
    ("Your name is {}.", "You are {}.", "You are called {}.", "You are an assistant named {}."),
    ("The user's name is {}.", "You talk to {}.", "You are talking to {}."),
)
_YOUR_NAME = ("What is your name?", "Who are you?", "what's your name?", "How are you called?")


def obey(pools: Pools) -> Sample:
    """A system prompt that changes the answer."""
    said, answer = phrase(pools)
    word = pools.pseudo(capital=pools.chance(0.5)) if pools.chance(0.5) else pools.noun()
    name = pools.name()
    kind = pools.rng.randrange(len(_RULES))
    rule = pools.choice(*_RULES[kind]).format(word if kind < 3 else name)
    if kind == 0:
        answer = f"{answer} {word}"
    elif kind == 1:
        answer = f"{word} {answer}"
    elif kind == 2:
        said = beyond(pools) if pools.chance(0.5) else said
        answer = word
    elif kind == 3:
        said, answer = pools.choice(*_YOUR_NAME), f"My name is {name}."
    else:
        said, answer = pools.choice("What is my name?", "Who am I?"), f"Your name is {name}."
    messages = [system(rule), user(said), says(answer)]
    if pools.chance(0.2):
        messages.insert(0, system(pools.rng.choice(NEUTRAL)))
    return Sample("system prompts", messages, thinking=pools.chance(0.6))


def repeat(pools: Pools) -> Sample:
    """Say after me, a few times: copying in its purest form."""
    turns = [_repeat(pools) for _ in range(pools.rng.choice((1, 2, 3)))]
    return Sample("repeat", [m for turn in turns for m in turn], thinking=pools.chance(0.6))


def _repeat(pools: Pools) -> list[Message]:
    text = pools.rng.choice(
        (pools.title, pools.phrase, pools.foreign, pools.name, pools.pseudo, pools.code, pools.city)
    )()
    if pools.chance(0.4):
        text = f"{text} {pools.choice('and', 'or', 'with', 'is')} {pools.phrase()}"
    asked = pools.choice(
        "Repeat: {}",
        "Say {}",
        "Please say: {}",
        "Repeat after me: {}",
        'Say "{}"',
        "Write {}",
        "Echo this: {}",
        "Just say '{}'",
    ).format(text)
    return [user(asked), says(text)]
