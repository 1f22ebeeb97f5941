"""The demo model from nothing: ``python -m training.demo_model [train | evaluate]``.

    python -m training.demo_model            train, export and evaluate
    python -m training.demo_model train      train (or go on with a checkpoint) and export
    python -m training.demo_model evaluate   print the tables for a model

Everything is written to ``training/demo_model/out``; ``--install`` copies the model into the
package.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
from pathlib import Path

HERE = Path(__file__).parent
OUT = HERE / "out"
PACKAGED = HERE.parents[1] / "rocm_core" / "demo" / "demo.gguf"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.demo_model", description="Make the demo model."
    )
    parser.add_argument("what", nargs="?", default="all", choices=("all", "train", "evaluate"))
    parser.add_argument("--folder", type=Path, default=OUT, help="checkpoints and results")
    parser.add_argument("--model", type=Path, help="GGUF to evaluate (default: in the folder)")
    parser.add_argument("--steps", type=int, help="steps of training")
    parser.add_argument("--seed", type=int, help="seed of training")
    parser.add_argument("--threads", type=int, help="threads of training")
    parser.add_argument("--count", type=int, default=200, help="held-out prompts for each skill")
    parser.add_argument("--install", action="store_true", help="copy the model into the package")
    return parser.parse_args()


def _train(options: argparse.Namespace, out: Path) -> None:
    from training.demo_model import tokenizer
    from training.demo_model.export import export
    from training.demo_model.train import Plan, prepare_tokenizer, train

    given = {name: getattr(options, name) for name in ("steps", "seed", "threads")}
    chosen = {name: value for name, value in given.items() if value is not None}
    network = train(options.folder, dataclasses.replace(Plan(), **chosen))
    weights = {name: p.detach().float().numpy() for name, p in network.named_parameters()}
    export(network.shape, weights, tokenizer.load(prepare_tokenizer(options.folder)), out)
    print(f"{out}: {out.stat().st_size} bytes")


def main() -> None:
    """Do what the command line asks for."""
    options = _options()
    # Before PyTorch is loaded: its threads must sleep, not spin, while they wait for one another,
    # or a second busy program slows training down to a crawl.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    out = options.model or options.folder / "demo.gguf"
    if options.what != "evaluate":
        _train(options, out)
    if options.what != "train":
        from training.demo_model.evaluate import evaluate

        tables = evaluate(out, options.count, options.folder / "wrong.jsonl")
        (options.folder / "tables.md").write_text(tables + "\n", encoding="utf-8")
        print(tables)
    if options.install:
        shutil.copyfile(out, PACKAGED)


if __name__ == "__main__":
    main()
