"""The page for those who come from Ollama: what it names exists here."""

from __future__ import annotations

import re

import pytest

from rocm_core.cli import parsers
from rocm_core.cli.chat.commands import names
from tests.support.pages import text_of

PAGE = "docs/guides/ollama.md"
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in text_of(PAGE).splitlines()
    if line.startswith("| ") and not line.startswith("| you want to ")
]


def test_there_are_twenty_things_at_least_and_each_has_its_difference() -> None:
    assert len(ROWS) >= 20
    assert all(len(row) == 4 and all(row) for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_our_column_names_what_there_is(row: list[str]) -> None:
    _, known = parsers()
    for code in re.findall(r"`([^`]+)`", row[2]):
        words = code.split()
        if words[0] == "llama-rocm":
            assert words[1] in known
        elif words[0].startswith("/"):
            assert words[0][1:] in names()
        elif words[0].startswith("--"):
            assert words[0] in known["chat"].format_help()
