"""``llama-rocm bench``: how fast a model runs here."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.table import Table

from rocm_core.bench import BenchPlan, BenchResult, run_bench
from rocm_core.bench.plot import draw, require_matplotlib
from rocm_core.cli.console import make_console
from rocm_core.cli.loading import load_progress
from rocm_core.cli.options import add_model_options, add_remote_options, load_options
from rocm_core.cli.screen import say
from rocm_core.cli.sizes import show_size
from rocm_core.model.text_model import load_model

_DEFAULT = BenchPlan()


def add_command(commands: Any) -> None:
    """Register ``bench``."""
    parser = commands.add_parser("bench", help="how fast a model runs here")
    add_model_options(parser)
    add = parser.add_argument
    add("--prompt", type=int, default=_DEFAULT.prompt, help="tokens of prefill (default: 512)")
    add("--generate", type=int, default=_DEFAULT.generate, help="tokens to decode (default: 128)")
    add(
        "--depth",
        type=int,
        action="append",
        metavar="TOKENS",
        help="tokens in the context before; repeatable (default: 0, 2048, 8192, ... that fit)",
    )
    add("--streams", type=int, help="most requests at once (default: the server's slots)")
    add("--repetitions", type=int, default=_DEFAULT.repetitions, help="of each test (default: 5)")
    add("--json", action="store_true", help="print JSON, with every sample")
    add("--plot", type=Path, metavar="FILE", help="draw it into this PNG (needs matplotlib)")
    add_remote_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure, print, draw."""
    plan = BenchPlan(
        prompt=options.prompt,
        generate=options.generate,
        depths=tuple(options.depth or ()),
        streams=options.streams,
        repetitions=options.repetitions,
    )
    if options.plot:
        require_matplotlib()  # before minutes of measuring
    console = make_console(aside=True)
    with load_model(options.model, **load_options(options)) as model:
        with load_progress(model.connection.ref.name) as show:
            model.load(show)
        with console.status("measuring") as status:
            result = run_bench(model, plan, lambda test: status.update(f"measuring {test}"))
    if options.json:
        say(json.dumps(result.as_dict(), indent=2))
    else:
        _print(result)
    if options.plot:
        draw(result, options.plot)
    return 0


def _print(result: BenchResult) -> None:
    console = make_console()
    console.print(
        f"{result.model}, llama.cpp {result.build}, {result.slots} slots of "
        f"{result.context_len} tokens",
        markup=False,
        highlight=False,
    )
    table = Table("test", box=None)
    for head in ("median", "±", "unit"):
        table.add_column(head, justify="left" if head == "unit" else "right")
    for row in result.rows:
        table.add_row(row.test, f"{row.median:.2f}", f"{row.spread:.2f}", row.unit)
    console.print(table)
    for gpu in result.gpus:
        facts = [show_size(gpu["vram_used"]) + " of VRAM used"] if gpu["vram_used"] else []
        facts += [f"{gpu['power_watts']:.0f} W"] if gpu["power_watts"] is not None else []
        said = ", ".join(facts) or "tells neither VRAM nor power"
        console.print(f"{gpu['name']}: {said}", markup=False, highlight=False)
    for note in result.notes:
        console.print(note, markup=False, highlight=False)
