"""The tables of the adapters' tests name tests that are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
LANGCHAIN, LLAMAINDEX = TESTS / "langchain", TESTS / "llamaindex"


def defined_in(path: Path) -> set[str]:
    return set(re.findall(r"def (test_\w+)\(", path.read_text(encoding="utf-8")))


def table(folder: Path) -> list[list[str]]:
    """The cells of every row of the tables, without head and rule."""
    lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    heads = {at - 1 for at, row in enumerate(rows) if set("".join(row)) <= set("|-")}
    return [row for at, row in enumerate(rows) if at not in heads and at - 1 not in heads]


def test_every_test_that_the_table_names_is_there() -> None:
    text = (LLAMAINDEX / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    defined = set[str]().union(*map(defined_in, LLAMAINDEX.rglob("test_*.py")))
    assert len(named) > 40
    assert named <= defined, named - defined


def named_by_langchain() -> Iterator[tuple[Path, str]]:
    """Files and tests (empty: the whole file) in the last column: ``file: test``, ``test``."""
    files = {path.stem.removeprefix("test_"): path for path in LANGCHAIN.rglob("test_*.py")}
    for *_, tests in table(LANGCHAIN):
        file: Path | None = None
        for name in re.findall(r"`([^`]+)`", tests):
            place, colon, test = name.rpartition(": ")
            if colon or name in files or "/" in name:
                place = place or name
                file = LANGCHAIN / place if "/" in place else files[place]
                test = test if colon else ""
            assert file, name
            yield file.resolve(), f"test_{test}" if test else ""


def test_every_test_that_the_langchain_tables_name_is_there() -> None:
    named = set(named_by_langchain())
    assert len(named) > 40
    missing = {
        (file, test)
        for file, test in named
        if not file.exists() or (test and test not in defined_in(file))
    }
    assert not missing
