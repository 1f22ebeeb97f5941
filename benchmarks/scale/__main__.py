"""``python -m benchmarks.scale``: simulate; with ``--measure`` also run a cluster here."""

from __future__ import annotations

import argparse

from benchmarks.scale import simulation


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--measure", action="store_true", help="needs the extra ray; two minutes")
    parser.add_argument("--replicas", type=int, nargs="*", default=[8, 64, 1000])
    options = parser.parse_args()
    print(simulation.table(options.replicas))
    if options.measure:
        from benchmarks.scale import measure

        print(f"\n{measure.table()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
