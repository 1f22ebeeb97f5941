"""The log of a shared server: its last lines, and what is written while they are read."""

from __future__ import annotations

import logging
from pathlib import Path

from rocm_core.shared.rotating_log import follow, handler, tail


def append(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def test_what_is_written_while_the_last_lines_are_read_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "log"
    append(path, "one", "two", "three")
    lines = follow(path, lambda: True, 2)
    assert next(lines) == "two"
    append(path, "four")
    assert list(lines) == ["three", "four"]


def test_without_last_lines_only_new_ones_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "log"
    append(path, "old")
    looks = iter([False, True])

    def ended() -> bool:
        last = next(looks)
        if last:
            append(path, "new")
        return last

    assert list(follow(path, ended)) == ["new"]
    assert tail(path, 0) == []


def test_the_last_lines_reach_into_the_file_before_the_rotation(tmp_path: Path) -> None:
    path = tmp_path / "log"
    append(path.with_name("log.1"), "one", "two")
    append(path, "three")
    assert tail(path, 2) == ["two", "three"]
    assert tail(path) == ["one", "two", "three"]
    assert tail(tmp_path / "none") == []


def test_a_rotated_log_is_followed_into_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    logger, writer = logging.Logger("rotated"), handler(path)
    logger.addHandler(writer)
    logger.warning("before")
    steps = iter(range(4))

    def ended() -> bool:
        step = next(steps)
        if step == 1:
            writer.doRollover()  # type: ignore[attr-defined]
            logger.warning("after")
        return step == 3

    assert list(follow(path, ended, 1)) == ["before", "after"]
    writer.close()
