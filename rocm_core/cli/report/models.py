"""``llama-rocm models``: the models on this machine."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.table import Table

from rocm_core.cli.console import make_console
from rocm_core.cli.screen import say
from rocm_core.cli.sizes import show_size
from rocm_core.discover.models import FoundModel, discover_models
from rocm_core.gguf.notes import text_notes
from rocm_core.terminal import visible

_FACTS = (
    "architecture",
    "quantization",
    "size_label",
    "parameters",
    "context_length",
    "layers",
    "embedding_length",
    "experts",
    "sliding_window",
    "pooling",
    "decision_type",
)


def add_command(commands: Any) -> None:
    """Register ``models``."""
    parser = commands.add_parser(
        "models",
        help="list the models on this machine",
        epilog="`models pull ORG/REPO[:QUANT]` downloads one, `models rm NAME` deletes one.",
    )
    parser.add_argument(
        "directory", nargs="*", help="look here too (besides ROCM_MODEL_DIR and the caches)"
    )
    parser.add_argument(
        "--no-caches",
        action="store_true",
        help="leave out the caches of llama.cpp, Hugging Face, LM Studio and Ollama",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """List them."""
    found = discover_models(*options.directory, caches=not options.no_caches)
    if options.json:
        say(json.dumps([_facts(model) for model in found], indent=2))
    elif found:
        _print(found)
    else:
        say(
            "no models; give a directory, set ROCM_MODEL_DIR, or download one: "
            "llama-rocm models pull org/repo[:quant]"
        )
    return 0


def _facts(model: FoundModel) -> dict[str, Any]:
    facts = {name: getattr(model.info, name) if model.info else None for name in _FACTS}
    shown = asdict(model, dict_factory=lambda pairs: {k: v for k, v in pairs if k != "info"})
    shown.update(
        path=str(model.path),
        parts=[str(part) for part in model.parts],
        mmproj=str(model.mmproj) if model.mmproj else None,
    )
    return {**shown, **facts, "notes": list(text_notes(model.info)) if model.info else []}


def _print(found: list[FoundModel]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("name", "size", "quantization", "parameters", "context", "architecture"):
        table.add_column(name, no_wrap=name == "name", overflow="fold")
    table.add_column("where", overflow="fold")
    for model in found:
        table.add_row(*(escape(visible(cell)) for cell in _row(model)))
    # As wide as it must be when it goes to a file or a pipe: names stay whole.
    console = make_console()
    console.width = console.width if console.is_terminal else 240
    console.print(table)
    for model in found:
        if model.problem:
            console.print(f"{escape(str(model.path))}: {escape(model.problem)}", style="red")
        for note in text_notes(model.info) if model.info else ():
            console.print(f"{escape(model.name)}: {escape(note)}", style="yellow")


def _row(model: FoundModel) -> tuple[str, ...]:
    info = model.info
    where = model.source if model.kind == "model" else f"{model.source}, {model.kind}"
    if info is not None and info.decision_type:
        where += f" model ({info.decision_type})"
    if len(model.parts) > 1:
        where += f", {len(model.parts)} parts"
    if model.mmproj:
        where += ", with mmproj"
    facts = (
        ("", "", "", "")
        if info is None
        else (
            info.quantization or "",
            _count(info.parameters),
            str(info.context_length or ""),
            info.architecture or "",
        )
    )
    return (model.name, show_size(model.size), *facts, where)


def _count(parameters: int) -> str:
    for unit, size in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if parameters >= size:
            return f"{parameters / size:.1f}{unit}"
    return str(parameters)
