"""Search a log of any length for the rows of the table. Pure; memory is bounded by the table.

lines ─blocks─▶ keys that occur ─lines with one─▶ unwrapped ─rows of the key─▶ first line of each

A key is a text that a row's line must have (``KnownFailure.keys``). Most blocks have none, so most
lines meet no regular expression. Asking for each key with ``in`` is seven times as fast as one
regular expression of all of them (5 MB: 0.64 s against 4.8 s); 100 MB take 13 s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from rocm_core.diagnosis.exit_codes import EXIT_KEYS, row_of_end
from rocm_core.diagnosis.table import STAGES, KnownFailure
from rocm_core.diagnosis.unwrap import unwrap
from rocm_core.diagnosis.versions import VERSION_KEYS, versions_in

# Characters of a block: large enough that ``in`` costs little per line, small enough for a cache.
_BLOCK = 1 << 16
# A longer line is searched in pieces that overlap by the length of any line of a server.
_LINE = 1 << 13
_OVERLAP = 1 << 10

# The server recovered from every error that it printed before such a line.
_OVERCOME = re.compile(
    r"listening on (?:https?|unix)://|: model loaded$|retrying without pipeline parallelism"
    r"|llama[- ]runner started in"
)
_OVERCOME_KEYS = (
    "listening on ",
    ": model loaded",
    "retrying without pipeline",
    "runner started in",
)
_MEMORY_OF_DEVICE = re.compile(r"\((?P<total>\d+) MiB, (?P<free>\d+) MiB free\)")
_VARIABLE = re.compile(
    r"\b(?P<name>HSA_OVERRIDE_GFX_VERSION(?:_\d+)?|(?:ROCR|HIP|CUDA|GGML_VK)_VISIBLE_DEVICES)"
    # Go escapes quotes that are part of a value; the others are a shell's, or around the text.
    r"[=:]\"?(?P<value>\\+\"[^\"\\]*\\+\"|'[^']*'|-?[\w.,-]+)"
)
_PROMPT_CACHE = re.compile(r"prompt_save:|updating prompt cache|cache state: \d+ prompts", re.I)
_NOTE_KEYS = (
    "mib free)",
    "hsa_override_gfx_version",
    "_visible_devices",
    "prompt_save:",
    "updating prompt cache",
    "cache state:",
    *VERSION_KEYS,
)
# What Ollama sets for one probe of a GPU, and nobody else did.
_SET_BY_A_PROBE = "extra_envs="
# A back end that cannot be loaded ends no server: it runs on without it.
_OF_A_BACKEND = re.compile(r"load_backend|ggml_backend_load|link_cuda_dso|dlopen", re.I)


class Match(NamedTuple):
    """A row that a log shows.

    Attributes:
        row: the row.
        stage: index in ``STAGES``.
        line: the first line that matches, unwrapped.
        groups: the pattern's groups that matched.
    """

    row: KnownFailure
    stage: int
    line: str
    groups: Mapping[str, str]


@dataclass(slots=True)
class Reading:
    """What a log says.

    Attributes:
        found: rows since the last sign of success, by name.
        before: rows before it, by name: overcome, or a server that runs without a GPU.
        variables: variables that the log shows as set.
        held: total and free MiB of the first GPU that was mostly full before the load.
        versions: of the programs that the log is of, as far as it says them (``versions.py``).
        prompt_cache: the last line about the host prompt cache; empty if none.
        lines: how many lines were read.
    """

    found: dict[str, Match] = field(default_factory=dict)
    before: dict[str, Match] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    held: tuple[int, int] | None = None
    versions: dict[str, str] = field(default_factory=dict)
    prompt_cache: str = ""
    lines: int = 0


@cache
def _rows_by_key() -> dict[str, tuple[tuple[int, KnownFailure], ...]]:
    rows: dict[str, tuple[tuple[int, KnownFailure], ...]] = {}
    for stage, one in enumerate(STAGES):
        for row in one.rows:
            for key in row.keys:
                rows[key] = (*rows.get(key, ()), (stage, row))
    return rows


@cache
def _keys() -> tuple[str, ...]:
    return tuple(dict.fromkeys([*_rows_by_key(), *_OVERCOME_KEYS, *_NOTE_KEYS, *EXIT_KEYS]))


@cache
def _rows_by_name() -> dict[str, tuple[int, KnownFailure]]:
    return {row.name: (index, row) for index, one in enumerate(STAGES) for row in one.rows}


DEGRADED = next(index for index, stage in enumerate(STAGES) if stage.name == "degraded")


def read_log(log: str | Iterable[str]) -> Reading:
    """Search a log.

    Args:
        log: its text, or its lines, oldest first; read once, in blocks, so an open file will do.
    """
    reading = Reading()
    for block in _blocks(_lines(log), reading):
        joined = "\n".join(block).lower()
        present = [key for key in _keys() if key in joined]
        if not present:
            continue
        for line in block:
            lowered = line.lower()
            if keys := [key for key in present if key in lowered]:
                _read_line(reading, line, keys)
    return reading


def _lines(log: str | Iterable[str]) -> Iterator[str]:
    if not isinstance(log, str):
        yield from log
        return
    start, end = 0, len(log)
    while start < end:
        stop = log.find("\n", start)
        stop = end if stop < 0 else stop
        yield log[start:stop]
        start = stop + 1


def _blocks(lines: Iterable[str], reading: Reading) -> Iterator[list[str]]:
    block: list[str] = []
    size = 0
    for line in lines:
        reading.lines += 1
        for piece in _pieces(line):
            block.append(piece)
            size += len(piece)
            if size >= _BLOCK:
                yield block
                block, size = [], 0
    if block:
        yield block


def _pieces(line: str) -> Iterator[str]:
    if len(line) <= _LINE:
        yield line
        return
    for start in range(0, len(line), _LINE - _OVERLAP):
        yield line[start : start + _LINE]


def _read_line(reading: Reading, line: str, keys: list[str]) -> None:
    rows = [pair for key in keys for pair in _rows_by_key().get(key, ())]
    notes = any(key in _NOTE_KEYS for key in keys)
    success = any(key in _OVERCOME_KEYS for key in keys)
    ending = any(key in EXIT_KEYS for key in keys)
    if notes and _SET_BY_A_PROBE not in line:
        for name, value in _VARIABLE.findall(line):
            reading.variables.setdefault(name, value.replace("\\", ""))
    if notes:
        for program, version in versions_in(line):
            reading.versions.setdefault(program, version)
    for text in unwrap(line):
        if success and _OVERCOME.search(text):
            reading.before.update(reading.found)
            reading.found.clear()
        if notes:
            _note(reading, text)
        for stage, row in rows:
            if row.name not in reading.found and (match := row.search(text)):
                reading.found[row.name] = _match(row, stage, match, text)
        if ending and (name := row_of_end(text)) and name not in reading.found:
            stage, row = _rows_by_name()[name]
            reading.found[name] = Match(row, stage, text, {})


def _match(row: KnownFailure, stage: int, match: re.Match[str], text: str) -> Match:
    groups = {name: value.strip() for name, value in match.groupdict().items() if value}
    if STAGES[stage].name == "loader" and _OF_A_BACKEND.search(text):
        stage = DEGRADED
    return Match(row, stage, text, groups)


def _note(reading: Reading, text: str) -> None:
    memory = _MEMORY_OF_DEVICE.search(text)
    if memory and "CPU" not in text and reading.held is None:
        total, free = int(memory["total"]), int(memory["free"])
        if 2 * free < total:
            reading.held = total, free
    if _PROMPT_CACHE.search(text):
        reading.prompt_cache = text
