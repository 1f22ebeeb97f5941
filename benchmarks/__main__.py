"""``python -m benchmarks``: measure, print a Markdown table per mode, write JSON if asked."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import measure
from benchmarks.reporting import machine, rows, table

MODES = {
    "burst": "many events per read",
    "paced": "one event per read, each after the one before was taken",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = _parser().parse_args(arguments)
    modes = list(MODES) if options.mode == "both" else [options.mode]
    record: dict[str, Any] = {
        "machine": machine(),
        "rounds": options.rounds,
        "chunks": options.chunks,
        "results": [],
    }
    print(f"CPU µs per chunk; {options.rounds} rounds of {options.chunks} chunks; {machine()}")
    for mode in modes:
        results = measure(mode, options.rounds, options.chunks, _tell)
        print(f"\n**{mode}** ({MODES[mode]})\n\n{table(results)}")
        record["results"] += rows(results)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=_positive, default=7, help="rounds that count")
    parser.add_argument("--chunks", type=_positive, default=3000, help="chunks per answer")
    parser.add_argument("--mode", choices=[*MODES, "both"], default="both")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers here")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
