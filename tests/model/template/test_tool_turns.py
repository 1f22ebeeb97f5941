"""Tool calls in the forms that templates show: ids, turns, notations. Pure."""

from __future__ import annotations

from typing import Any

import pytest

from rocm_core.model.template.call_ids import shortened
from rocm_core.model.template.countable import completed
from rocm_core.model.template.tool_turns import CallDemands, shown
from rocm_core.requests.written_calls import call_notation, in_text
from tests.support.histories import RESULT, USER, calling, result

ONE_A_TURN = CallDemands(one_a_turn=True)


def sketch(messages: list[dict[str, Any]]) -> list[str]:
    """Who says what, in short: the text, the names of calls, the ids of results."""
    return [
        f"{m['role'][0]}:{m['content']}"
        + "".join(f" {made['function']['name']}" for made in m.get("tool_calls", ()))
        for m in messages
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            [calling("a", "b", beside="T"), RESULT, result("b"), USER],
            ["a:T get_a", "t:RESULTa", "a: get_b", "t:RESULTb", "u:QUESTION"],
        ),
        (  # results in another order stay with their calls
            [calling("a", "b"), result("b"), RESULT],
            ["a: get_a", "t:RESULTa", "a: get_b", "t:RESULTb"],
        ),
        (  # a conversation never ends in a call
            [calling("a", "b"), RESULT],
            ["a: get_b", "a: get_a", "t:RESULTa"],
        ),
        (  # a result of no call stays
            [calling("a", "b"), result("c"), RESULT, result("b")],
            ["a: get_a", "t:RESULTa", "a: get_b", "t:RESULTb", "t:RESULTc"],
        ),
        ([calling("a"), RESULT], ["a: get_a", "t:RESULTa"]),
    ],
)
def test_one_call_a_turn(given: list[dict[str, Any]], expected: list[str]) -> None:
    before = [dict(message) for message in given]
    assert sketch(shown(given, ONE_A_TURN)) == expected
    assert given == before


@pytest.mark.parametrize("ids", [True, False])
def test_results_without_ids_answer_the_calls_in_their_order(ids: bool) -> None:
    made = calling("a", "b")
    for call in made["tool_calls"] if not ids else ():
        del call["id"]
    answers = [{**result(name), "tool_call_id": ""} for name in "ab"]
    assert sketch(shown([made, *answers], ONE_A_TURN)) == [
        *["a: get_a", "t:RESULTa", "a: get_b", "t:RESULTb"]
    ]


def test_thoughts_stay_with_the_first_call() -> None:
    thinking = {**calling("a", "b", beside="T"), "reasoning_content": "R"}
    form = CallDemands(one_a_turn=True, text_first=True)
    sent = shown([thinking, RESULT, result("b")], form)
    assert sketch(sent) == ["a:T", "a: get_a", "t:RESULTa", "a: get_b", "t:RESULTb"]
    assert [m.get("reasoning_content") for m in sent] == [None, "R", None, None, None]


def test_a_turn_of_the_user_may_stand_between_text_and_call() -> None:
    form = CallDemands(text_first=True, text_turn=True)
    sent = shown([calling("a", beside="T"), RESULT], form)
    assert sketch(sent) == ["a:T", "u:", "a: get_a", "t:RESULTa"]


@pytest.mark.parametrize("id_", ["call_1", "functions.get_a:0", "abcdefghi-", "", None, "Umlaut-ä"])
def test_ids_become_nine_letters_and_digits(id_: Any) -> None:
    call = {**calling("a")["tool_calls"][0], "id": id_}
    history = [{"role": "assistant", "tool_calls": [call]}, {**RESULT, "tool_call_id": id_}]
    first, again = shortened(history), shortened([*history, USER])
    assert first == again[:2]
    assert first[0]["tool_calls"][0]["id"] == first[1]["tool_call_id"]
    assert len(first[1]["tool_call_id"]) == 9
    assert first[1]["tool_call_id"].isalnum()
    assert history[1]["tool_call_id"] == id_


@pytest.mark.parametrize("ids", [True, False])
def test_results_without_ids_get_those_of_the_calls(ids: bool) -> None:
    calls = [{**call, "id": call["id"] if ids else ""} for call in calling("a", "b")["tool_calls"]]
    answers = [{**result(name), "tool_call_id": ""} for name in "ab"]
    made, *answered = shortened([{"role": "assistant", "tool_calls": calls}, *answers])
    sent = [call["id"] for call in made["tool_calls"]]
    assert [message["tool_call_id"] for message in answered] == sent
    assert len(set(sent)) == 2


ARGUMENTS = (
    '{"s": "q\\"ä", "n": 1, "x": 1.5, "on": true, "no": null, "l": [1, "b"], "o": {"k": false}}'
)


@pytest.mark.parametrize(
    ("template", "written"),
    [
        (
            "List of tools: [",
            '<|tool_call_start|>[f(s="q\\"ä", n=1, x=1.5, on=True, no=None, l=[1, "b"], '
            'o={"k": False})]<|tool_call_end|>',
        ),
        ("<|tool_call|>", f'<|tool_call|>[{{"name": "f", "arguments": {ARGUMENTS}}}]'),
        ("<tool_call>", f'<tool_call>\n{{"name": "f", "arguments": {ARGUMENTS}}}\n</tool_call>'),
    ],
)
def test_calls_as_models_write_them(template: str, written: str) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": ARGUMENTS}}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    write = call_notation(f"{{{{ {template} }}}}")
    assert write is not None
    assert in_text(message, write) == {"role": "assistant", "content": written}
    beside = in_text({**message, "content": "Well."}, write)
    assert beside["content"] == f"Well.\n{written}"


def test_no_notation_is_guessed() -> None:
    assert call_notation("{{ messages[0].content }}") is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([USER, calling("a", "b")], ["u:QUESTION", "a: get_a get_b", "t:", "t:"]),
        ([USER, calling("a"), RESULT], ["u:QUESTION", "a: get_a", "t:RESULTa"]),
        ([RESULT, result("b"), USER], ["a: tool tool", "t:RESULTa", "t:RESULTb", "u:QUESTION"]),
        # from the last to the first
        ([RESULT, calling("a"), USER], ["u:QUESTION", "a: get_a", "t:RESULTa"]),
        ([result("b"), RESULT, calling("a", "b")], ["a: get_a get_b", "t:RESULTa", "t:RESULTb"]),
        # one id in every turn
        (
            [calling("a"), RESULT, USER, calling("a"), RESULT],
            ["a: get_a", "t:RESULTa", "u:QUESTION", "a: get_a", "t:RESULTa"],
        ),
        ([USER], ["u:QUESTION"]),
        ([], []),
    ],
)
def test_pieces_are_completed(given: list[dict[str, Any]], expected: list[str]) -> None:
    assert sketch(completed(given)) == expected
