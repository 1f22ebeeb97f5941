"""The text that the demo model learns from, and the twin of its chat template."""

from __future__ import annotations

import json
import random
from itertools import islice
from typing import Any

import pytest

from training.demo_model.chat_format import NO_THOUGHT, answer_text, prompt, render, signature
from training.demo_model.data import context, conversation, facts, mix, structured, tools
from training.demo_model.data.catalog import catalog
from training.demo_model.data.pools import Pools
from training.demo_model.data.sample import Message, Sample
from training.demo_model.evaluate import HANDWRITTEN, called, right


@pytest.mark.parametrize("course", [mix.MIX, mix.SECOND])
def test_training_is_reproducible(course: Any) -> None:
    first, second = (list(islice(mix.training(3, course), 300)) for _ in range(2))
    assert first == second
    assert first != list(islice(mix.training(4, course), 300))


def test_held_out_prompts_are_never_learned() -> None:
    held = {fact.questions[-1] for fact in facts.all_facts()}
    learned = {q for fact in facts.all_facts() for q in fact.questions[:-1]}
    assert len(held) == len(facts.all_facts()) >= 100
    assert not held & learned

    def asked(sample: Sample) -> str:
        return prompt(sample.messages[:-1], sample.tools, sample.thinking)

    calls = {asked(s) for s in mix.held_out(30) if s.skill.startswith(("tool", "answer", "two"))}
    assert not calls & {asked(s) for s in islice(mix.training(seed=1), 3000)}


def test_every_skill_has_its_prompts() -> None:
    samples = mix.held_out(20)
    assert {sum(s.skill == skill for s in samples) for skill in {s.skill for s in samples}} == {20}


def test_a_client_can_send_what_the_evaluation_asks() -> None:
    for sample in mix.held_out(30):
        assert not any("pieces" in message for message in sample.messages[:-1])


def test_expected_answers_count_as_right() -> None:
    for sample in mix.held_out(5):
        wanted = sample.messages[-1]
        answer = {**wanted, "finish_reason": "stop"}
        assert right(sample, answer), sample
        assert called(answer) == called(json.loads(json.dumps(wanted)))


def _values(answer: Message) -> list[Any]:
    """What an answer of JSON or calls says, but for true and false."""
    records = [arguments for _, arguments in called(answer)] or [json.loads(answer["content"])]
    return [v for record in records for v in record.values() if not isinstance(v, bool)]


@pytest.mark.parametrize(
    "draw",
    [
        structured.asked,
        structured.forced,
        tools.one_call,
        tools.parallel,
        tools.explained,
        tools.compound,
    ],
)
def test_what_is_to_be_copied_stands_there(draw: mix.Draw) -> None:
    pools = Pools(random.Random(6), evaluation=True)
    for _ in range(1000):
        *before, answer = draw(pools).messages
        asked = [m["content"] for m in before if m["role"] == "user"]
        assert all(str(value) in asked[-1] for value in _values(answer)), (asked, answer)


def test_a_name_is_asked_for_after_it_is_told() -> None:
    pools = Pools(random.Random(8))
    chats = [[m["content"] for m in conversation.draw(pools).messages] for _ in range(500)]
    named = [chat for chat in chats if any("Your name is" in text for text in chat)]
    assert len(named) > 100
    for chat in named:
        answer = next(text for text in chat if "Your name is" in text)
        name = answer.removeprefix("Your name is ").removesuffix(".")
        assert f"Nice to meet you, {name}!" in chat[: chat.index(answer)]


def test_among_sentences_all_alike_one_alone_answers() -> None:
    pools = Pools(random.Random(9), evaluation=True)
    for _ in range(500):
        sample = context.draw_same(pools)
        said = " ".join(m["content"] for m in sample.messages[:-1])
        answer = sample.messages[-1]["content"]
        assert said.count(answer) == (answer != context.UNKNOWN), said


def test_a_misheard_request_keeps_the_words_of_its_tool() -> None:
    pools = Pools(random.Random(7))
    restart = next(tool for tool in catalog() if tool.name == "restart_server")
    said = [restart._misheard(pools, "now restart the web server at once") for _ in range(100)]
    assert len(set(said)) > 5
    assert all("restart" in text and "server" in text for text in said)


def test_only_the_answer_is_learned() -> None:
    for sample in islice(mix.training(seed=5), 500):
        pieces = render(sample.messages, sample.tools, sample.thinking)
        learned = "".join(text for text, learn in pieces if learn)
        assert learned.endswith("<|im_end|>")
        assert "<|im_start|>" not in learned
        assert NO_THOUGHT not in learned
        if "pieces" not in sample.messages[-1]:
            assert answer_text(sample.messages[-1]) + "<|im_end|>" in learned


def test_signature_of_a_tool() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"enum": ["x", "y"]}, "c": {}},
        "required": ["a"],
    }
    function = {"name": "f", "description": "Does f", "parameters": schema}
    tool = {"type": "function", "function": function}
    assert signature(tool) == "f(a: string, b?: x|y, c?: any) - Does f"
    assert signature({"function": {"name": "g"}}) == "g()"


def test_handwritten_prompts_can_be_passed() -> None:
    book = json.loads(HANDWRITTEN.read_text(encoding="utf-8"))
    assert len(book["prompts"]) == 60
    for entry in book["prompts"]:
        assert set(entry.get("tools", ())) <= set(book["tools"])
        assert {"calls", "json", "any"} & set(entry["check"])
