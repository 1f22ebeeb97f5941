"""Which requests share a replica's prompt cache."""

from __future__ import annotations

from typing import Any

from rocm_core.scale.routing.prompts import prompt_key

SYSTEM = {"role": "system", "content": "You are terse."}
HELLO = {"role": "user", "content": "Hello"}


def turn(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


def test_all_turns_of_a_conversation_have_one_key() -> None:
    first = [SYSTEM, HELLO]
    later = [*first, turn("assistant", "Hi!"), turn("user", "And now?")]
    assert prompt_key({"messages": first}) == prompt_key({"messages": later}) != ""


def test_a_system_message_alone_is_shared_by_too_many() -> None:
    one, other = [SYSTEM, HELLO], [SYSTEM, turn("user", "Good evening")]
    assert prompt_key({"messages": one}) != prompt_key({"messages": other})


def test_the_order_of_fields_does_not_matter() -> None:
    other = {"content": "Hello", "role": "user"}
    assert prompt_key({"messages": [HELLO]}) == prompt_key({"messages": [other]})


def test_a_plain_prompt_is_known_by_its_beginning() -> None:
    page = "All work and no play. " * 60
    assert prompt_key({"prompt": page + "a"}) == prompt_key({"prompt": page + "b"})
    assert prompt_key({"prompt": "a" + page}) != prompt_key({"prompt": "b" + page})
    assert prompt_key({"prompt": [1, 2, 3]}) != prompt_key({"prompt": [1, 2, 4]})
    assert prompt_key({"prompt": ["a", "b"]}) == prompt_key({"prompt": "a"})


def test_the_clients_own_name_for_a_conversation_goes_first() -> None:
    assert prompt_key({"messages": [HELLO]}, "s1") == prompt_key({"prompt": "x"}, "s1")
    assert prompt_key({"messages": [HELLO]}, "s1") != prompt_key({"messages": [HELLO]}, "s2")


def test_what_has_no_prompt_has_no_key() -> None:
    bodies: list[dict[str, Any]] = [{}, {"input": "text"}, {"messages": []}, {"prompt": ""}]
    for body in [*bodies, {"messages": "no list"}]:
        assert prompt_key(body) == ""


def test_messages_that_are_none_have_a_key_all_the_same() -> None:
    assert prompt_key({"messages": ["no object"]}) != ""
