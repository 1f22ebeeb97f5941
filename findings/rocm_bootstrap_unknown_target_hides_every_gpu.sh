#!/usr/bin/env bash
# rocm-bootstrap finds AMD GPUs from the kernel's files, to choose ROCm's Python packages.
#
#   expected   a GPU whose target it does not know is left out or named, the others are found, in the
#              kernel's order
#   seen       one unknown target (gfx803) makes detect_gpus raise ValueError, so that no GPU is found;
#              from ten nodes on the order is that of text: node 10 comes before node 2
#
# Versions: rocm-bootstrap 0.3.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet rocm-bootstrap==0.3.0
"$work/venv/bin/python" - "$work" <<'PY'
import sys
from pathlib import Path

from rocm_bootstrap import _platform, detect

KNOWN, UNKNOWN = 110000, 80003


def nodes(name: str, targets: dict[int, int]) -> None:
    """Write a topology and look at it: number of the node to gfx_target_version."""
    _platform.KFD_TOPOLOGY = Path(sys.argv[1]) / name
    for number, target in targets.items():
        folder = _platform.KFD_TOPOLOGY / str(number)
        folder.mkdir(parents=True)
        (folder / "properties").write_text(f"simd_count 96\ngfx_target_version {target}\n")


nodes("many", {number: KNOWN for number in (1, 2, 10)})
order = [gpu.node_id for gpu in detect.detect_gpus()]
print("order of nodes 1, 2 and 10:", order)

nodes("mixed", {1: KNOWN, 2: UNKNOWN})
try:
    print("found:", detect.detect_gpus())
    raised = False
except ValueError as error:
    print("ValueError:", error)
    raised = True
sys.exit(0 if raised and order == [1, 10, 2] else 1)
PY
