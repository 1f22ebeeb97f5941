"""How good is it?  Held-out prompts for each skill, and hand-written ones, on the real engine.

An answer counts when it is exactly right: the tools by name and arguments, JSON by value, words
by the letter, save where a prompt only asks for a certain word in the answer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.demo_model.chat_format import prompt
from training.demo_model.data import mix
from training.demo_model.data.sample import Message, Sample
from training.demo_model.engine import Engine, engine

HANDWRITTEN = Path(__file__).with_name("handwritten.json")


@dataclass(frozen=True)
class Outcome:
    """One prompt: was the answer right?"""

    skill: str
    asked: str
    wanted: str
    got: str
    right: bool


def wire(message: Message) -> Message:
    """A message as the OpenAI API wants it: arguments as a string, ids on calls."""
    out = {k: v for k, v in message.items() if k in ("role", "content", "reasoning_content")}
    if calls := message.get("tool_calls"):
        out["tool_calls"] = [
            {
                "id": f"call_{n}",
                "type": "function",
                "function": {
                    "name": c["function"]["name"],
                    "arguments": json.dumps(c["function"]["arguments"], ensure_ascii=False),
                },
            }
            for n, c in enumerate(calls)
        ]
    if out["role"] == "tool":
        out["tool_call_id"] = "call_0"
    return out


def called(message: Message) -> list[tuple[str, Any]]:
    """Names and arguments of the calls in a message."""
    out = []
    for call in message.get("tool_calls") or ():
        arguments = call["function"]["arguments"]
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments)
            except ValueError:
                arguments = {"not JSON": arguments}
        out.append((call["function"]["name"], arguments))
    return out


def _same(wanted: Any, got: Any) -> bool:
    """Equal, but 1 is not True."""
    return json.dumps(wanted, sort_keys=True) == json.dumps(got, sort_keys=True)


def right(sample: Sample, answer: Message) -> bool:
    """Whether ``answer`` is what the sample expects."""
    wanted = sample.messages[-1]
    text = (answer.get("content") or "").strip()
    if calls := called(wanted):
        return _same(calls, called(answer))
    if called(answer) or answer["finish_reason"] != "stop":
        return False
    if "JSON" in sample.skill:
        try:
            return _same(json.loads(wanted["content"]), json.loads(text))
        except ValueError:
            return False
    thought = wanted.get("reasoning_content")
    if thought and not answer.get("reasoning_content"):
        return False
    return sample.contains in text if sample.contains else text == wanted["content"]


def ask(server: Engine, sample: Sample) -> Outcome:
    """Put one prompt to the engine."""
    fields: dict[str, Any] = {"chat_template_kwargs": {"enable_thinking": sample.thinking}}
    if sample.tools:
        fields |= {"tools": sample.tools, "parallel_tool_calls": True}
    messages = [wire(m) for m in sample.messages[:-1]]
    answer = server.chat(messages, **fields, **sample.request)
    wanted = sample.messages[-1]
    shown = (called(wanted) or wanted["content"], called(answer) or answer.get("content"))
    last = str(sample.messages[-2]["content"])
    return Outcome(sample.skill, last, str(shown[0]), str(shown[1]), right(sample, answer))


def same_prompts(server: Engine, samples: Iterable[Sample]) -> list[str]:
    """Prompts that llama.cpp renders unlike ``chat_format``; there must be none."""
    different = []
    for sample in samples:
        body: dict[str, Any] = {"messages": [wire(m) for m in sample.messages[:-1]]}
        body["chat_template_kwargs"] = {"enable_thinking": sample.thinking}
        if sample.tools:
            body["tools"] = sample.tools
        made = server.post("/apply-template", body)["prompt"]
        ours = prompt(sample.messages[:-1], sample.tools, sample.thinking)
        if made != ours:
            different.append(f"{made!r}\n{ours!r}")
    return different


# ---- by hand --------------------------------------------------------------------------------


def _passes(check: dict[str, Any], answer: Message) -> bool:
    text = answer.get("content") or ""
    if answer["finish_reason"] == "length":
        return False
    if "calls" in check or called(answer):
        wanted = [(name, arguments) for name, arguments in check.get("calls", ())]
        return _same(wanted, called(answer))
    if "json" in check:
        try:
            return _same(check["json"], json.loads(text))
        except ValueError:
            return False
    thinks = check.get("thinks", False)
    found = any(word.lower() in text.lower() for word in check["any"])
    return found and bool(answer.get("reasoning_content")) == thinks


def handwritten(server: Engine) -> list[Outcome]:
    """The prompts of ``handwritten.json``."""
    book = json.loads(HANDWRITTEN.read_text(encoding="utf-8"))
    outcomes = []
    for entry in book["prompts"]:
        messages = entry.get("messages") or [{"role": "user", "content": entry["user"]}]
        if "system" in entry:
            messages = [{"role": "system", "content": entry["system"]}, *messages]
        fields = dict(entry.get("request") or {})
        if names := entry.get("tools"):
            fields["tools"] = [_tool(name, book["tools"][name]) for name in names]
        thinking = entry["check"].get("thinks", False)
        fields["chat_template_kwargs"] = {"enable_thinking": thinking}
        answer = server.chat([wire(m) for m in messages], **fields)
        got = called(answer) or answer.get("content")
        outcomes.append(
            Outcome(
                f"by hand: {entry['skill']}",
                messages[-1]["content"],
                str(entry["check"]),
                str(got),
                _passes(entry["check"], answer),
            )
        )
    return outcomes


def _tool(name: str, described: dict[str, Any]) -> dict[str, Any]:
    """A tool from its short form: a description and types of arguments, ``?`` for optional."""
    properties = {}
    for argument, marked in described["arguments"].items():
        kind = marked.removesuffix("?")
        properties[argument] = (
            {"type": kind} if "|" not in kind else {"type": "string", "enum": kind.split("|")}
        )
    required = [a for a, kind in described["arguments"].items() if not kind.endswith("?")]
    parameters = {"type": "object", "properties": properties, "required": required}
    function = {
        "name": name.split("#", maxsplit=1)[0],
        "description": described["description"],
        "parameters": parameters,
    }
    return {"type": "function", "function": function}


# ---- the table ------------------------------------------------------------------------------


def table(outcomes: Iterable[Outcome]) -> str:
    """Markdown: a row for each skill."""
    counts: dict[str, Counter[bool]] = {}
    for outcome in outcomes:
        counts.setdefault(outcome.skill, Counter())[outcome.right] += 1
    lines = ["| skill | prompts | right |", "|---|---|---|"]
    for skill, count in counts.items():
        total = count.total()
        lines.append(f"| {skill} | {total} | {100 * count[True] / total:.1f} % |")
    return "\n".join(lines)


def evaluate(model: Path, count: int, wrong: Path | None = None) -> str:
    """Ask everything; returns the tables and writes wrong answers to ``wrong``."""
    samples = mix.held_out(count)
    with engine(model) as server:
        caps = server.props().get("chat_template_caps")
        different = same_prompts(server, samples[:: max(1, len(samples) // 300)])
        by_hand = handwritten(server) if HANDWRITTEN.exists() else []
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(lambda sample: ask(server, sample), samples))
    if wrong:
        lines = [
            json.dumps(o.__dict__, ensure_ascii=False) for o in [*outcomes, *by_hand] if not o.right
        ]
        wrong.write_text("\n".join(lines) + "\n", encoding="utf-8")
    good = sum(o.right for o in by_hand)
    return "\n\n".join(
        (
            f"chat_template_caps: {caps}",
            f"prompts rendered differently: {len(different)}",
            *different[:3],
            table(outcomes),
            table(by_hand),
            f"by hand, all: {good} of {len(by_hand)}",
        )
    )
