"""Coverage-guided fuzzing of the GGUF reader, run by hand (``pip install atheris``):

    python -m tests.fuzz --seconds 600

Any exception but the reader's own ends it, with the input in the working directory.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import struct
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["rocm_core.gguf"]):
    from rocm_core.gguf import facts, reader

from tests.support.models.gguf_writer import BIG, LITTLE
from tests.support.models.reciter import RECITER

_MAX_INPUT = 1 << 16


def read(data: bytes) -> None:
    """Every fact of a header after the magic."""
    with contextlib.suppress(ValueError, struct.error):
        header = reader.parse_header(b"GGUF" + data)
        info = facts.info_of(Path("fuzzed.gguf"), header, len(data))
        info.per_layer("attention.head_count_kv", 1)
        repr(info)


def seeds(folder: Path) -> None:
    """Healthy headers to start from."""
    headers = [w.model(version) for w in (LITTLE, BIG) for version in (2, 3)]
    headers.append(Path(RECITER).read_bytes()[:_MAX_INPUT])
    for number, header in enumerate(headers):
        (folder / str(number)).write_bytes(header[4:])


def main() -> None:
    """Fuzz for the given time; the lines with ``memory`` and ``peak_rss_mb`` tell the memory
    before the first input and the most there was."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=600)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        seeds(Path(folder))
        flags = [f"-max_total_time={seconds}", f"-max_len={_MAX_INPUT}", "-timeout=5"]
        print(f"memory before: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB")
        atheris.Setup([sys.argv[0], *flags, "-print_final_stats=1", "-verbosity=1", folder], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
