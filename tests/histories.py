"""What each chat template makes of histories: ``python -m tests.histories``.

Prints, for each engine and case, how many templates show the conversation as it is, get it in a
form of ours, have it refused in our words, drop a part of it, or answer with an error; once for
what is sent, once for the conversation as it was given. ``LLAMA_ROCM_TEMPLATES`` names the folder.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import get_args

from rocm_core import load_model
from rocm_core.config import Engine
from tests.support.histories import CASES, Outcome, outcome
from tests.support.models.reciter import RECITER
from tests.support.templates import template_names, template_text

_OUTCOMES = get_args(Outcome)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", nargs="+", default=["embedded", "binary"])
    parser.add_argument("--verbose", action="store_true", help="name the templates")
    options = parser.parse_args(arguments)
    for engine in options.engine:
        for fit in (False, True):
            print(f"\n{engine}, {'as sent' if fit else 'as given'}".ljust(42), *_OUTCOMES)
            _table(engine, fit, options.verbose)


def _table(engine: Engine, fit: bool, verbose: bool) -> None:
    counts: dict[str, Counter[Outcome]] = defaultdict(Counter)
    where: dict[tuple[str, Outcome], list[str]] = defaultdict(list)
    for name in template_names():
        with load_model(RECITER, engine=engine, chat_template=template_text(name)) as model:
            for case, messages in CASES.items():
                for tools in (False, True):
                    found = outcome(model, messages, tools, fit=fit)
                    counts[case][found] += 1
                    where[case, found].append(name + (" with tools" if tools else ""))
    for case, row in counts.items():
        print(case.ljust(40), *(str(row[o] or "").rjust(len(o)) for o in _OUTCOMES))
        for o in _OUTCOMES[2:] if verbose else ():
            if names := where[case, o]:
                print(f"    {o}: {', '.join(names)}")


if __name__ == "__main__":
    main()
