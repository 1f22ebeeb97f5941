"""Patterns are rewritten so that they match the same strings, those with escapes aside."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rocm_core import TextModel
from rocm_core.schema.patterns.rewrite import rewrite
from tests.support.schemas.walking import chats, completions

_ATOMS = st.sampled_from(
    [
        *("a", "b", "-", "_", ".", "]", "}", "é", r"\d", r"\w", r"\s", r"\D", r"\W", r"\S"),
        *(r"\.", r"\/", r"\-", r"\x61", r"\u0061"),
        *("[ab]", "[^a]", r"[\w.-]", "[a-c-]", r"[^\d]", "[à-ü]"),
    ]
)
_TIMES = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{1,2}", "{1,}", "*?"])
_REPEATED = st.builds("{}{}".format, _ATOMS, _TIMES)
_GROUPS = st.recursive(
    st.lists(_REPEATED, min_size=1, max_size=3).map("".join),
    lambda inner: (
        st.builds(
            "{}({}{}){}".format, inner, st.sampled_from(["", "?:", "?P<n>"]), inner, st.just("")
        )
        | st.builds("({}|{}){}".format, inner, inner, st.sampled_from(["", "?", "{2}"]))
    ),
    max_leaves=3,
)
_PATTERNS = st.builds(
    "{}{}{}".format, st.sampled_from(["", "^"]), _GROUPS, st.sampled_from(["", "$"])
) | st.builds("^{}$|^{}".format, _GROUPS, _GROUPS)
_STRINGS = st.text(alphabet='ab-_.0 é/]}c"\\\n', max_size=6)


@settings(max_examples=100, deadline=None)
@given(_PATTERNS, st.lists(_STRINGS, max_size=8))
def test_a_rewritten_pattern_matches_the_same_strings(pattern: str, strings: list[str]) -> None:
    if pattern.count("?P<n>") > 1:
        return
    rewritten = rewrite(pattern)
    if rewritten.pattern is None:
        return
    for string in strings:
        matched = re.search(pattern, string, re.ASCII) is not None
        if set(string) & set('"\\\n'):
            assert not re.fullmatch(rewritten.pattern, string)
            assert rewritten.reason or not matched
        else:
            assert (re.fullmatch(rewritten.pattern, string) is not None) == matched


@settings(max_examples=100, deadline=None)
@given(_PATTERNS)
def test_a_rewritten_pattern_stays_as_it_is(pattern: str) -> None:
    rewritten = rewrite(pattern).pattern
    if rewritten is not None:
        again = rewrite(rewritten)
        assert (again.pattern, again.reason) == (rewritten, "")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"^\d{3}-\d{4}$", "^[0-9]{3}-[0-9]{4}$"),
        (r"^\w+$", "^[0-9A-Z_a-z]+$"),
        (r"\Afoo\z", "^foo$"),
        ("^(foo|ba[rz])$", "^(foo|ba[rz])$"),
        (r"^a{2,}$", "^[a]{2}[a]*$"),
        (r"^(?:ab)*?$", "^(ab)*$"),
        (r"^[\]^-]$", r"^[\x2D\x5D\x5E]$"),
        ("^(a|)b$", "^[a]?b$"),
        (r"^\u{1F600}$", "^\U0001f600$"),
        (r"^\ud83d\ude00$", "^\U0001f600$"),
        ("^$", "^$"),
        ("^(b|b)?$", "^[b]?$"),
        ("^(b+){2,3}$", "^[b]{2}[b]*$"),
        ("^(b*){2,3}$", "^[b]*$"),
        ("^(b+)*$", "^[b]*$"),
    ],
)
def test_how_patterns_are_written(pattern: str, expected: str) -> None:
    assert rewrite(pattern).pattern == expected


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("^(?=a)b", "looks around"),
        ("^(?<!a)b", "looks around"),
        ("(?i)a", "sets flags"),
        (r"\bword\b", "looks around"),
        (r"(a)\1", "refers back"),
        (r"\p{L}", "not understood"),
        ("a^b", "anchor"),
        ("^(^a)*$", "anchor"),
        ('^"$', "quote"),
        ("^(a*b?)*$", "may be empty"),
        ("^a{2000}$", "more than 999 times"),
        ("^(a{99}){99}$", "more than 999 times"),
        ("[]a]", "different"),
        ("[a&&b]", "different"),
        ("(a", "missing"),
        ("a)", "too many"),
        ("*a", "nothing is there to repeat"),
        ("a**", "two repetitions"),
        ("[b-a]", "before it begins"),
        ("a\\", "too early"),
        ("(" * 3000, "nested"),
    ],
)
def test_what_cannot_be_rewritten_says_why(pattern: str, reason: str) -> None:
    rewritten = rewrite(pattern)
    assert rewritten.pattern is None
    assert reason in rewritten.reason


@pytest.mark.parametrize(
    ("pattern", "lengths", "expected"),
    [
        ("^[a-z]+$", (2, 5), "^[a-z]{2,5}$"),
        ("^[a-z]*$", (0, 5), "^[a-z]{0,5}$"),
        ("^[a-z]{3,9}$", (1, 5), "^[a-z]{3,5}$"),
        ("^[a-z]+$", (2, None), "^[a-z]{2}[a-z]*$"),
    ],
)
def test_lengths_become_part_of_a_repeated_class(
    pattern: str, lengths: tuple[int, int | None], expected: str
) -> None:
    assert rewrite(pattern, lengths).pattern == expected
    assert not rewrite("^ab*$", lengths).lengths


_WALKED = (
    *(r"^\d{3}-\w{2}$", "^[^x]{3}$", "^.{2}$", r"^(foo|ba[rz]){1,2}\.?$", "^é{2}[à-ü]$"),
    *(r"^\+?\d{2,}$", "^(a|)b$", r"^[\w.\-\]\[]{2,3}$", r"^[^\w]\S \S$", "^(a|b.)(c{2}|[^d-f])?$"),
    *(r"^\/[&~<>=!:,;@#%'`-]$", "^[{}()|*+?$^]{4}$", r"^\{\}\(\)\|\*\+\?\$\^$"),
)


@pytest.mark.parametrize("pattern", _WALKED)
def test_engines_keep_a_rewritten_pattern(walker: TextModel, pattern: str) -> None:
    for ask in (chats, completions):
        answers = ask(walker, {"type": "string", "pattern": pattern})
        assert answers
        assert [answer for answer in answers if not re.search(pattern, answer)] == []
