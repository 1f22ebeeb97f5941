"""One conversation of the training text, or one prompt of the evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from training.demo_model.chat_format import NO_THOUGHT
from training.demo_model.data.pools import Pools

Message = dict[str, Any]


@dataclass
class Sample:
    """A conversation that ends with the answer to learn, or to expect.

    Attributes:
        skill: the row of the evaluation's table.
        messages: as in the OpenAI API, except that arguments of calls are objects.
        tools: as in the OpenAI API.
        thinking: the template's switch.
        request: further fields for the request of the evaluation.
        contains: what the answer must contain; empty: it must be exactly the last message.
    """

    skill: str
    messages: list[Message]
    tools: list[dict[str, Any]] = field(default_factory=list)
    thinking: bool = True
    request: dict[str, Any] = field(default_factory=dict)
    contains: str = ""


def sentence(text: str, values: Iterable[Any] = ()) -> str:
    """With a capital letter, unless it starts with one of the values: they stay as they are."""
    if text.startswith(tuple(str(value) for value in values if value != "")):
        return text
    return text[0].upper() + text[1:]


def system(text: str) -> Message:
    """A system message."""
    return {"role": "system", "content": text}


def user(text: str) -> Message:
    """A user's message."""
    return {"role": "user", "content": text}


def says(text: str, thought: str = "", learn: bool = True) -> Message:
    """An answer in words."""
    message: Message = {"role": "assistant", "content": text, "learn": learn}
    if thought:
        message["reasoning_content"] = thought
    return message


def past(pools: Pools, text: str, thought: str, *, thinking: bool) -> Message:
    """An answer of an earlier turn.

    Clients send no thoughts back, so some answers stand there without.  The others are learned as
    well, each as it was when it was the last one.
    """
    if pools.chance(0.3):
        return says(text, learn=False)
    if thinking:
        return says(text, thought)
    if pools.evaluation:  # a client cannot send the empty thought
        return says(text)
    return {"role": "assistant", "content": text, "pieces": [(NO_THOUGHT, False), (text, True)]}


def calls(*pairs: tuple[str, dict[str, Any]]) -> Message:
    """An answer that calls tools: pairs of name and arguments."""
    functions = [{"name": name, "arguments": arguments} for name, arguments in pairs]
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": f} for f in functions],
    }


def result(text: str) -> Message:
    """What a tool returned."""
    return {"role": "tool", "content": text}
