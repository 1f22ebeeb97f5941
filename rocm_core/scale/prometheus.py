"""One Prometheus page of what the llama-servers of all replicas print. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# A sample of the text format: name, labels, value (and timestamp).
_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})?[ \t]+(\S.*)")
_COMMENT = re.compile(r"#[ \t]+(HELP|TYPE)[ \t]+([a-zA-Z_:][\w:]*)")
# Ours: name, type, help, and the field of a replica's status.
_OWN = (
    ("replica_ready", "gauge", "Whether the llama-server of the replica answers.", "ready"),
    ("replica_slots", "gauge", "Requests that the replica computes at once.", "slots"),
    ("replica_requests", "gauge", "Requests on its slots, and that wait for one.", "requests"),
    ("replica_restarts_total", "counter", "Times that it restarted its server.", "restarts"),
)
_PREFIX = "llama_rocm"


def page(statuses: Mapping[str, Iterable[Mapping[str, Any]]]) -> str:
    """Return the page: every sample with the labels ``model`` and ``replica``.

    Args:
        statuses: of each model's replicas (``LlamaReplica.status``), by the model's name.
    """
    families: dict[str, list[str]] = {}
    comments: dict[str, dict[str, str]] = {}
    for model, replicas in statuses.items():
        for status in replicas:
            labels = f'model="{_escaped(model)}",replica="{_escaped(str(status["replica"]))}"'
            for line in _lines_of(status):
                if said := _COMMENT.match(line):
                    comments.setdefault(said[2], {}).setdefault(said[1], line)
                elif sample := _SAMPLE.fullmatch(line):
                    inside = f"{labels},{sample[2]}" if sample[2] else labels
                    row = f"{sample[1]}{{{inside}}} {sample[3]}"
                    families.setdefault(sample[1], []).append(row)
    lines = list[str]()
    for name, rows in families.items():
        lines += [*comments.get(name, {}).values(), *rows]
    return "\n".join([*lines, ""])


def _lines_of(status: Mapping[str, Any]) -> Iterator[str]:
    for name, kind, text, field in _OWN:
        yield f"# HELP {_PREFIX}_{name} {text}"
        yield f"# TYPE {_PREFIX}_{name} {kind}"
        yield f"{_PREFIX}_{name} {int(status[field])}"
    yield from str(status["metrics"]).splitlines()


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
