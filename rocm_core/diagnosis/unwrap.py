"""Take off what other programs put around a line of a log. Pure.

journald, Docker and Kubernetes put times and names before a line; Ollama, LM Studio, Jan,
LocalAI and llama-server's router quote it, or put a tag before it. What is left is what the
server printed, which may be several lines in one message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_COLORS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_TIME = r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z| ?[+-]\d\d:?\d\d)?"
# Each is taken off as often as one of them fits, from the left.
_PREFIXES = tuple(
    re.compile(pattern)
    for pattern in (
        # Docker, CRI: "2024-12-03T14:00:08.99Z stderr F ", "2024-12-03 14:00:08.99+00:00"
        rf"{_TIME} *(?:std(?:out|err) [FP] +)?(?=\S)",
        # journald, syslog: "Mar 24 21:17:29 host ollama[2742]: ", "06.05 13:15:31 host name[1]: "
        r"(?:[A-Z][a-z]{2} +\d+|\d\d\.\d\d) \d\d:\d\d:\d\d(?:\.\d+)? \S+ [\w./@-]+(?:\[\d+\])?: ",
        # docker compose: "name-1  | "
        r"[\w.-]{1,64} +\| ",
        # LocalAI: "3:34PM DBG GRPC(model-127.0.0.1:3478): stderr ", "7:39:10 pm.745stderr"
        r"\d?\d:\d\d(?::\d\d)?(?: ?[AaPp][Mm])?(?:\.\d+)? ?(?:[A-Z]{3} )?"
        r"(?:GRPC\([^)]*\): )?(?:std(?:out|err) *)(?=\S)",
        # LM Studio, Jan, tauri: "[2026-07-10][00:16:41][module][INFO] ", "[ERROR] ", "[child 17] "
        r"(?:\[[\w :.,/+-]{1,64}\] *)+(?=\S)",
        # Lemonade: the part that speaks, after time and level
        r"\([A-Z]\w{2,32}\) +(?=\S)",
        # llama-server's router
        r"cmd_child_to_router:\w+:",
        # Python's logging
        rf"{_TIME}[ -]+(?:[A-Z]{{4,8}})[ :-]+",
    )
)
# Fields of Go's slog and of JSON logs that quote what a server printed.
_QUOTED = re.compile(r'\b(?:msg|error|err|cause|log|message)=("(?:[^"\\]|\\.)*")')
_ESCAPED_QUOTE = '\\"'


def plain(line: str) -> str:
    """Return a line without terminal colors and without space around it."""
    return (_COLORS.sub("", line) if "\x1b" in line else line).strip()


def unwrap(line: str) -> Iterator[str]:
    """Yield what a server printed in a line that another program passed on.

    First the line without its prefixes, then each text that it quotes, line by line.
    """
    text = plain(line)
    for _ in range(8):
        shorter = _without_prefix(text)
        if shorter == text:
            break
        text = shorter
    if text.startswith('{"'):
        yield from _of_json(text)
        return
    yield text.replace(_ESCAPED_QUOTE, '"')
    if '="' in text:
        for quoted in _QUOTED.findall(text):
            yield from _of_quoted(quoted)


def _without_prefix(text: str) -> str:
    for prefix in _PREFIXES:
        if found := prefix.match(text):
            return text[found.end() :].lstrip()
    return text


def _of_quoted(quoted: str) -> Iterator[str]:
    try:
        words = json.loads(quoted, strict=False)
    except ValueError:
        words = quoted.strip('"').replace("\\n", "\n").replace(_ESCAPED_QUOTE, '"')
    yield from filter(None, map(str.strip, str(words).split("\n")))


def _of_json(text: str) -> Iterator[str]:
    try:
        record = json.loads(text, strict=False)
    except ValueError:
        yield text.replace(_ESCAPED_QUOTE, '"')
        return
    yield from _texts(record)


def _texts(value: object) -> Iterator[str]:
    # Docker's json-file has one text; a status of LM Studio nests it.
    values = list(value.values()) if isinstance(value, dict) else value
    if isinstance(values, str):
        yield from filter(None, map(str.strip, values.split("\n")))
    elif isinstance(values, list):
        for one in values:
            yield from _texts(one)
