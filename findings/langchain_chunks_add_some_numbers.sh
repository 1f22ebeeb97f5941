#!/usr/bin/env bash
# Adding chunks of an answer adds the whole numbers in their metadata, if the two differ.
#
#   expected   of a field that each chunk carries, the last value, or the sum, or a list
#   seen       1 and 2 make 3, and the next 3 stays 3; equal numbers stay as they are, so that counts
#              of 5 and 5 make 5, and of 5 and 6 make 11; numbers with a point that differ, as
#              timings, raise TypeError; with the keys index, created and timestamp the last counts
#
# Met by who passes on the fields that llama-server puts into every chunk (timings_per_token, return_progress).
#
# Versions: langchain-core 1.8.3.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet langchain-core==1.8.3
"$work/venv/bin/python" - <<'PY'
from functools import reduce
from operator import add

from langchain_core.messages import AIMessageChunk


def total(key: str, *values: object) -> object:
    """Return the sum of chunks with these values, or the name of the error."""
    chunks = [AIMessageChunk("", response_metadata={key: value}) for value in values]
    try:
        return reduce(add, chunks).response_metadata[key]
    except TypeError as error:
        return type(error).__name__


found = {
    "a running count, 1 2 3": total("predicted_n", 1, 2, 3),
    "a running count, 1 2 3 4": total("predicted_n", 1, 2, 3, 4),
    "counts of 5 and 5": total("tokens", 5, 5),
    "counts of 5 and 6": total("tokens", 5, 6),
    "milliseconds 1.5 and 2.5": total("predicted_ms", 1.5, 2.5),
    "created, 7 and 8": total("created", 7, 8),
}
for name, value in found.items():
    print(f"{name}: {value}")
as_before = list(found.values()) == [3, 7, 5, 11, "TypeError", 8]
raise SystemExit(0 if as_before else "the behavior has changed")
PY
