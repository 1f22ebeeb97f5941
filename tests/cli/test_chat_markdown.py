"""Markdown while it streams: the same however it is cut, and nothing is written twice."""

from __future__ import annotations

import random
import re

import pytest

from rocm_core.cli.chat.markdown import MarkdownStream, Span
from rocm_core.cli.screen import say_spans

PAGE = """\
# A *title*

Some **bold text**, `code`, *it*, ~~gone~~ and ***both***; 2 * 3 * 4 = 24, snake_case_name,
a\\*b, [a link](https://example.org/x), ``a ` b``. A line that is longer than the screen is wide.

- one **item**
- two, which is long enough for more than a single line of the screen, between two of its words
  1. nested
> a quotation
---
```python
def f(x):
    return x ** 2  # *not* emphasis, and a line that is longer than the screen is: never broken
```
| a | b |
|---|---|
漢字 and 👩\u200d💻 are wide; this **never ends
"""
WIDTH = 60


def drawn(text: str, size: int, width: int = WIDTH) -> list[Span]:
    """The styles of each character; pieces of ``size`` characters, of random length for 0."""
    stream, spans, at = MarkdownStream(width), [], 0
    while at < len(text):
        step = size or random.randint(1, 9)
        spans += stream.feed(text[at : at + step])
        at += step
    spans += stream.end()
    return [(character, style) for piece, style in spans for character in piece]


def plain(text: str, width: int = 0) -> str:
    return "".join(character for character, _ in drawn(text, 0, width))


def styled(text: str) -> dict[str, str]:
    """The words of each style."""
    found: dict[str, str] = {}
    for character, style in drawn(text, 1, 0):
        found[style] = found.get(style, "") + character
    return found


def test_the_cuts_between_pieces_do_not_show() -> None:
    whole = drawn(PAGE, len(PAGE))
    assert all(drawn(PAGE, size) == whole for size in (1, 2, 3, 7))
    assert all(drawn(PAGE, 0) == whole for _ in range(50))


@pytest.mark.parametrize(
    ("text", "styles"),
    [
        ("a **b** c", {"": "a  c", "bold": "b"}),
        ("a *b* _c_", {"": "a  ", "italic": "bc"}),
        ("***b***", {"bold italic": "b"}),
        ("**a `b` c**", {"bold": "a  c", "bold cyan": "b"}),
        ("`` a`b ``", {"cyan": "a`b"}),
        ("~~a~~", {"strike": "a"}),
        ("2 * 3 * 4", {"": "2 * 3 * 4"}),
        ("a_b_c d_e", {"": "a_b_c d_e"}),
        (r"\*a\*", {"": "*a*"}),
        (r"C:\dir", {"": r"C:\dir"}),
        ("**a", {"": "**a"}),
        ("*a\nb*", {"": "*a\nb*"}),
        ("`a", {"": "`a"}),
        ("[t](http://x)", {"": "[t](http://x)"}),
        ("## Head\ntext", {"bold": "Head", "": "\ntext"}),
        ("#hash", {"": "#hash"}),
        ("- a", {"bold": "• ", "": "a"}),
        ("-5 degrees", {"": "-5 degrees"}),
        ("3. a", {"bold": "3. ", "": "a"}),
        ("3.14", {"": "3.14"}),
        ("```\n*a*\n```\n*b*", {"dim": "``````", "": "\n\n\n", "cyan": "*a*", "italic": "b"}),
        ("~~~~\n```\n~~~~", {"dim": "~~~~~~~~", "": "\n\n", "cyan": "```"}),
        ("```\nnever closed", {"dim": "```", "": "\n", "cyan": "never closed"}),
        ("", {}),
    ],
)
def test_marks_become_styles_and_other_text_stays(text: str, styles: dict[str, str]) -> None:
    assert styled(text) == styles


def test_lines_break_between_words_and_code_does_not() -> None:
    lines = plain(PAGE, WIDTH).split("\n")
    long = [line for line in lines if len(line.rstrip()) > WIDTH]
    assert len(long) == 1 and "never broken" in long[0]
    assert any(line.startswith("  the screen") or line.startswith("  a single") for line in lines)


def test_a_word_longer_than_a_line_stays_whole() -> None:
    assert plain("a " + "x" * 200 + " b", WIDTH) == "a " + "x" * 200 + " b"


def test_what_is_held_back_is_bounded() -> None:
    for opening in ("**", "`", "~~~", "```", "-", "#", "_", "x"):
        stream, shown = MarkdownStream(WIDTH), 0
        text = opening + "a" * 5000 if opening in ("**", "`", "~~~", "```") else opening * 5000
        for at, character in enumerate(text):
            shown += sum(len(piece) for piece, _ in stream.feed(character))
            assert at - shown < 300 + len(opening), opening


# -- what a terminal gets ---------------------------------------------------------------------


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_nothing_is_written_twice_and_a_token_costs_few_bytes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No flicker: the cursor never goes back, and the bytes of a token do not grow."""
    text = PAGE * 20
    stream, costs, written = MarkdownStream(WIDTH), [], ""
    for piece in re.findall(r"\s?\S+|\s", text):
        say_spans(stream.feed(piece))
        written += (shown := capsys.readouterr().out)
        costs.append(len(shown.encode()))
    say_spans(stream.end())
    written += capsys.readouterr().out
    assert {command[-1] for command in re.findall(r"\x1b\[[\d;?]*[A-Za-z]", written)} == {"m"}
    assert "\r" not in written and "\b" not in written
    assert max(costs) < 160
    assert len(written.encode()) < 2 * len(text.encode())


def test_an_answer_commands_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    stream = MarkdownStream(0)
    say_spans(stream.feed("**\x1b[2Jbold** \x1b]0;title\x07 a\rb\n") + stream.end())
    out = capsys.readouterr().out
    assert r"\x1b[2Jbold" in out and r"\x1b]0;title\x07 a\x0db" in out


def test_no_color_leaves_bold(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    say_spans([("a", "bold"), ("b", "cyan"), ("c", "bold cyan")])
    assert capsys.readouterr().out == "\x1b[1ma\x1b[0mb\x1b[1mc\x1b[0m"
