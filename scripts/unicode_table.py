"""Write ``rocm_core/tokenizer/unicode.txt`` from llama.cpp's own Unicode table.

    python -m scripts.unicode_table path/to/llama.cpp/src/unicode-data.cpp

llama.cpp's table (https://github.com/ggml-org/llama.cpp, MIT license) is that of one version of
Unicode; Python's, or a regex engine's, is another's and has thousands of other letters. The file is
part of llama.cpp's source, also of the source distributions of ``llama_cpp_python`` on PyPI
(``pip download --no-deps --no-binary :all: llama_cpp_python==0.3.36``).
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from pathlib import Path

TARGET = Path(__file__).parents[1] / "rocm_core" / "tokenizer" / "unicode.txt"
_TABLES = {
    "categories": "unicode_ranges_flags",
    "spaces": "unicode_set_whitespace",
    "lowercase": "unicode_map_lowercase",
    "decompositions": "unicode_ranges_nfd",
}
_HEAD = """\
# Unicode as llama.cpp knows it. Written by `python -m scripts.unicode_table` from llama.cpp's
# src/unicode-data.cpp (https://github.com/ggml-org/llama.cpp), which is
#
# {copyright}
#
# under the MIT license: Permission is hereby granted, free of charge, to any person obtaining a
# copy of this software and associated documentation files (the "Software"), to deal in the
# Software without restriction, including without limitation the rights to use, copy, modify,
# merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons
# to whom the Software is furnished to do so, subject to the following conditions: The above
# copyright notice and this permission notice shall be included in all copies or substantial
# portions of the Software. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS
# OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A
# PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE
# LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
# OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS
# IN THE SOFTWARE.
#
# Hexadecimal. categories: first code point of a range, its flags (llama.cpp's src/unicode.h).
# spaces: code points. lowercase: code point, its lowercase. decompositions: first and last code
# point of a range, the first of their decomposition.
"""
_COPYRIGHT = "Copyright (c) 2023-2026 The ggml authors"


def written(source: str) -> str:
    """Return the text of the file for the text of ``unicode-data.cpp``."""
    parts = [_HEAD.format(copyright=_COPYRIGHT)]
    for name, table in _TABLES.items():
        body = re.search(rf"\b{table} = \{{(.*?)\n\}};", source, re.DOTALL)
        if body is None:
            raise ValueError(f"no table {table}")
        lines = (line.split("//")[0] for line in body[1].splitlines())
        rows = [re.findall(r"0x([0-9A-Fa-f]+)", line) for line in lines]
        items = ["-".join(f"{int(number, 16):x}" for number in row) for row in rows if row]
        wrapped = textwrap.fill(" ".join(items), 118, break_on_hyphens=False)
        parts.append(f"[{name}]\n{wrapped}\n")
    return "".join(parts)


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.unicode_table")
    parser.add_argument("source", type=Path, help="llama.cpp's src/unicode-data.cpp")
    source = parser.parse_args().source.read_text(encoding="utf-8")
    TARGET.write_text(written(source), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
