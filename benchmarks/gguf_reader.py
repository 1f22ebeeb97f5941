"""``python -m benchmarks.gguf_reader``: our GGUF reader beside the ``gguf`` package's, in µs.

Both read the demo model and a header with a vocabulary of 150,000 tokens and as many merges (as
Qwen's). The figure is the median CPU time of a warm file. What each yields differs:
``GGUFReader`` makes an array of every value, ours keeps facts and skips the rest.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import gguf

from benchmarks.machine import machine
from rocm_core.demo import demo_model_path
from rocm_core.gguf import read_gguf

_TOKENS = 150_000


def main() -> int:
    """Measure and print a Markdown table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gguf_reader", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="rounds of the demo model")
    rounds = parser.parse_args().rounds
    print(f"CPU µs per file; {machine()}\n")
    print("| file | read_gguf | gguf.GGUFReader | times |\n|---|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        large = write_vocabulary(Path(folder) / "vocabulary.gguf", _TOKENS)
        # The package needs many seconds for the large one: once must do.
        for name, path, times in (
            ("demo model", demo_model_path(), rounds),
            (f"{_TOKENS} tokens", large, 1),
        ):
            ours = cost(functools.partial(read_gguf, path), rounds)
            theirs = cost(functools.partial(gguf.GGUFReader, path), times)
            print(f"| {name} | {ours:.0f} | {theirs:.0f} | {theirs / ours:.1f} |")
    return 0


def cost(call: Callable[[], object], rounds: int) -> float:
    """Median CPU µs."""
    taken = []
    for _ in range(rounds):
        begun = time.process_time()
        call()
        taken.append(1e6 * (time.process_time() - begun))
    return median(taken)


def write_vocabulary(path: Path, tokens: int) -> Path:
    """A GGUF with no tensors and a byte-pair vocabulary of ``tokens`` entries."""
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_context_length(32768)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"tok{number}" for number in range(tokens)])
    writer.add_token_types([gguf.TokenType.NORMAL] * tokens)
    writer.add_token_merges([f"to k{number}" for number in range(tokens)])
    writer.add_chat_template("{{ messages }}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


if __name__ == "__main__":
    sys.exit(main())
