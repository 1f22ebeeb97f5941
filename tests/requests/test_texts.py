"""Which text cannot be sent, and why: by its index and its beginning."""

from __future__ import annotations

from typing import Any

import pytest

from rocm_core.errors import ConfigError
from rocm_core.requests.texts import body_fault, check_texts, text_fault

HALF = "b\ud83d c"


@pytest.mark.parametrize("text", ["", "a", "Zürich ✓ 🎉 한국어", "\x00", "\uffff"])
def test_text_is_text(text: str) -> None:
    assert text_fault(text) == ""
    check_texts([text])
    assert body_fault({"a": [text], text: 1}) == ""


@pytest.mark.parametrize("text", ["\ud83d", "ab\udc80", "\udc00\ud800", HALF])
def test_half_a_surrogate_pair_is_none(text: str) -> None:
    assert "half a surrogate pair, U+D" in text_fault(text)
    with pytest.raises(UnicodeEncodeError):
        text.encode()


def test_the_remedy_works() -> None:
    pair = "\ud83c\udf89 \ud83d"
    assert pair.encode("utf-16", "surrogatepass").decode("utf-16", "replace").startswith("🎉")
    assert ".encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')" in text_fault(pair)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["a", HALF], r"documents\[1\], which begins with 'b\\ud83d c', holds half .* U\+D83D, at"),
        (["a", None], r"documents\[1\] is no text but None, a NoneType"),
        ([3], r"documents\[0\] is no text but 3, a int"),
        (["a", "b", b"c"], r"documents\[2\] is no text but b'c', a bytes"),
        ("abc", r"documents is one text: give a list of texts, \['abc'\]"),
        (["x" * 999 + "\ud83d"], r"documents\[0\], which begins with 'x{40}'…, holds .* 999"),
    ],
)
def test_the_index_and_the_beginning_are_told(texts: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_texts(texts, "documents")


def test_the_index_is_that_of_the_callers_list() -> None:
    with pytest.raises(ConfigError, match=r"texts\[33\], which begins with 'b"):
        check_texts(["a", HALF], first=32)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"messages": [{"content": "a"}, {"content": HALF}]}, "messages[1].content, which begins"),
        ({"messages": [{"content": [{"text": HALF}]}]}, "messages[0].content[0].text, which"),
        ({"tools": [{"a": {1}}]}, "tools[0].a is {1}, a set"),
        ({"a": {HALF: 1}}, "the name 'b\\ud83d c' in a, which begins"),
    ],
)
def test_the_part_of_a_body_is_told(body: Any, words: str) -> None:
    assert words in body_fault(body)
