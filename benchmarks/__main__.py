"""``python -m benchmarks``: measure, print Markdown tables, write JSON and a plot if asked.

With ``--compare`` the exit code is 1 if one of our ratios is over 5 % worse than in that file, and
2 if there is nothing to compare.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import (
    batches,
    chunking,
    comparison,
    decisions,
    engines,
    latency,
    memory,
    resident,
    startup,
    streaming,
    targets,
)
from benchmarks.agents import measure
from benchmarks.machine import load, machine, versions
from benchmarks.measuring import Tell
from benchmarks.plots import draw
from benchmarks.section import Section, markdown
from benchmarks.size import TINY, Size

Record = dict[str, Any]
MEASURES: dict[str, Callable[[Size, Tell], Section]] = {
    "burst": streaming.burst,
    "paced": streaming.paced,
    "growth": streaming.growth,
    "history": streaming.history,
    "memory": memory.memory,
    "ttft": latency.ttft,
    "streams": latency.streams,
    "batch": batches.batch,
    "imports": startup.imports,
    "construction": startup.construction,
    "start": engines.start,
    "attach": engines.attach,
    "cache": engines.cache,
    "resident": resident.resident,
    "chunking": chunking.chunking,
    "decide": decisions.decide,
    "agents": measure.agents,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = _parser().parse_args(arguments)
    old = json.loads(options.compare.read_text(encoding="utf-8")) if options.compare else None
    if options.read:
        record = json.loads(options.read.read_text(encoding="utf-8"))
    else:
        record = _measured(options, old)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    sections = [Section(**section) for section in record["sections"]]
    if options.plot and not draw(sections, options.plot):
        _tell("no plot: matplotlib is not installed")
    return 0 if old is None else _compare(old, record)


def _measured(options: argparse.Namespace, old: Record | None) -> Record:
    """Measure and print; returns what ``--json`` writes."""
    size = TINY if options.tiny else Size()
    given = {n: v for n in ("rounds", "chunks") if (v := getattr(options, n)) is not None}
    size = replace(size, **given)
    print(f"{machine()}; load {load()} at the beginning")
    sections: list[Section] = []
    seconds: dict[str, float] = {}
    for name in options.only or _names_in(old) or MEASURES:
        begun = time.monotonic()
        section = MEASURES[name](size, _tell)
        seconds[name] = round(time.monotonic() - begun, 1)
        print(f"\n{markdown(section)}", flush=True)
        sections.append(section)
    judgments = targets.judged(sections)
    if judgments:
        print(f"\n{targets.markdown(judgments)}")
    print(f"\nload {load()} at the end; {sum(seconds.values()):.0f} s")
    return {
        "machine": machine(),
        "load": load(),
        "versions": versions(),
        "size": vars(size),
        "seconds": seconds,
        "sections": [vars(section) for section in sections],
        "targets": judgments,
    }


def _names_in(record: Record | None) -> list[str]:
    """The measures of an earlier run; those that no longer exist are left out."""
    names = [section["name"] for section in record["sections"]] if record else []
    return [name for name in names if name in MEASURES]


def _compare(old: Record, new: Record) -> int:
    """Print what changed; returns the exit code."""
    try:
        found = comparison.compared(old, new)
    except comparison.NotComparable as error:
        _tell(f"not compared: {error}")
        return 2
    print(f"\n{comparison.markdown(found)}")
    return 1 if found.regressions else 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.replace("%", "%%")
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=[*MEASURES], metavar="NAME", help=", ".join(MEASURES))
    add("--rounds", type=_positive, help="rounds that count")
    add("--chunks", type=_positive, help="chunks per answer")
    add("--tiny", action="store_true", help="tiny numbers: does it run at all?")
    add("--json", type=Path, metavar="FILE", help="write all numbers here")
    add("--read", type=Path, metavar="FILE", help="take the numbers from here, measure nothing")
    add("--compare", type=Path, metavar="OLD", help="fail if a ratio is over 5 %% worse than here")
    add("--plot", type=Path, metavar="FILE", help="draw them into this PNG")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
