"""The text of ``docs/troubleshooting.md``, from the table of known failures."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rocm_core.diagnosis.table import STAGES, KnownFailure

_HEAD = """\
# Troubleshooting

<!-- Generated from rocm_core.diagnosis.table by `python -m scripts.generate`; change it there. -->

What a log of llama.cpp can say, why, and what to do: whether llama-rocm, llama-server, Ollama,
LM Studio, Jan or another program ran it. `llama-rocm explain FILE` finds the row by itself, and
`journalctl -u ollama | llama-rocm explain` reads a pipe; in Python `explain_failure(log)`. An
error of a server that failed has the same words as its attributes `cause` and `remedy`.

Where two of these are in one log, the earlier section explains the end: the reason is below its
heading. Each row has its name in the first column; the second quotes what the line has.
"""


def troubleshooting() -> str:
    """Return the text of ``docs/troubleshooting.md``."""
    return _HEAD + "".join(_sections())


def _sections() -> Iterator[str]:
    for stage in STAGES:
        why = stage.outranks[:1].upper() + stage.outranks[1:]
        yield f"\n## {stage.title}\n\n{why}.\n\n"
        yield "| name | the line has | cause | remedy |\n|---|---|---|---|\n"
        for row in stage.rows:
            cells = (f"`{row.name}`", _keys(row), _words(row.cause), _remedy(row))
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _keys(row: KnownFailure) -> str:
    return ", ".join(f"`{key}`" for key in row.keys[:3])


def _remedy(row: KnownFailure) -> str:
    cures = [f"{cure.program} {cure.version}" for cure in row.cures if not cure.since]
    return _words(
        row.remedy
        + (f" ({row.versions})" if row.versions else "")
        + (f"; cured in {', '.join(cures)}" if cures else "")
    )


def _words(text: str) -> str:
    """Write the places of what a log says as people do."""
    text = text.replace("{gfx}", "this GPU").replace("{what}", "…")
    text = re.sub(r"[:,] …(?=$|[,;.)])|\(…[^)]*\) ?", "", text).strip()
    # A program or an option begins in lower case.
    return text[:1].upper() + text[1:] if text.split(" ")[0].rstrip(",:;").isalpha() else text
