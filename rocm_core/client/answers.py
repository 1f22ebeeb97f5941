"""Read the whole answers of a server, and check them: what passes here has the types it should.

A server that is no llama-server, or a proxy in front of one, may answer anything. Whatever is not
what the endpoint's documentation says raises ``ProtocolError``, and nothing of it is passed on.
Shapes: llama.cpp ``tools/server/README.md``. Pure.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from rocm_core.client.failures import error_from_body, page_title
from rocm_core.errors import ProtocolError
from rocm_core.requests import named
from rocm_core.types import ServerProps

_NUMBERS = {int, float}
_FLOAT_SIZE = 4
# ``send_rerank`` in ``server-context.cpp``, after "failed to get embeddings".
_NO_SCORE = -1e6
_SHOWN = 200


def read_json(content: bytes) -> Any:
    """Return the value of a JSON answer.

    Raises:
        ProtocolError: it is none.
        HTTPStatusError: it is an error report, which some servers send with status 200.
    """
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ProtocolError(page_title(content) or f"expected JSON, got {_begin(content)}") from (
            error
        )
    if isinstance(value, dict) and value.get("error"):
        raise error_from_body(value)
    return value


def field(name: str, is_right: Callable[[Any], bool]) -> Callable[[bytes], Any]:
    """Return the reader of one field of an answer, which must be of its kind."""

    def read(content: bytes) -> Any:
        value = read_json(content)
        if not isinstance(value, dict) or name not in value:
            raise ProtocolError(f"the answer has no field {name!r}: {_begin(content)}")
        if not is_right(value[name]):
            raise ProtocolError(
                f"the answer's field {name!r} is of a wrong kind: {_begin(content)}"
            )
        return value[name]

    return read


def is_text(value: Any) -> bool:
    """Return whether a value is a string."""
    return type(value) is str


def is_count(value: Any) -> bool:
    """Return whether a value is a whole number of at least 0."""
    return type(value) is int and value >= 0


def is_ids(value: Any) -> bool:
    """Return whether a value is a list of whole numbers."""
    return type(value) is list and {int}.issuperset(map(type, value))


def is_objects(value: Any) -> bool:
    """Return whether a value is a list of JSON objects."""
    return type(value) is list and {dict}.issuperset(map(type, value))


def read_objects(content: bytes) -> list[dict[str, Any]]:
    """Return an answer that is a list of objects."""
    value = read_json(content)
    if not is_objects(value):
        raise ProtocolError(f"expected a list of objects, got {_begin(content)}")
    return value  # type: ignore[no-any-return]


def read_models(content: bytes) -> list[dict[str, Any]]:
    """Return the models of ``GET /v1/models``; a server without any may say ``null``."""
    return field("data", lambda data: data is None or is_objects(data))(content) or []


# ---------------------------------------------------------------------------
# The server's facts
# ---------------------------------------------------------------------------

# What tells the facts of a llama-server from an answer to anything else.
_OF_PROPS = ("default_generation_settings", "total_slots", "model_path", "chat_template", "role")


def read_props(content: bytes) -> ServerProps:
    """Return the facts of ``GET /props``.

    Raises:
        ProtocolError: they are not those of a llama-server, or one of them is of a wrong kind.
    """
    raw = read_json(content)
    if not isinstance(raw, dict) or not any(name in raw for name in _OF_PROPS):
        raise ProtocolError(f"GET /props is not that of a llama-server: {_begin(content)}")
    defaults = _fact(raw, "default_generation_settings", dict) or {}
    total = raw.get("total_slots")
    if total is not None and not (is_count(total) and total > 0):
        raise ProtocolError(
            f"GET /props says total_slots={total!r}: a server has at least one slot"
        )
    return ServerProps(
        n_ctx=_known(defaults, "n_ctx"),
        total_slots=total or 0,
        model_path=_fact(raw, "model_path", str) or "",
        model_alias=_fact(raw, "model_alias", str) or "",
        chat_template=_fact(raw, "chat_template", str) or "",
        chat_template_caps=_fact(raw, "chat_template_caps", dict) or {},
        modalities=_fact(raw, "modalities", dict) or {},
        build_info=_fact(raw, "build_info", str) or "",
        raw=raw,
    )


def _fact(raw: Mapping[str, Any], name: str, kind: type) -> Any:
    value = raw.get(name)
    if value is not None and not isinstance(value, kind):
        what = "text" if kind is str else "object"
        raise ProtocolError(f"GET /props says {name}={value!r:.80}, which is no {what}")
    return value


def _known(defaults: Mapping[str, Any], name: str) -> int:
    value = defaults.get(name)
    if value is not None and not is_count(value):
        raise ProtocolError(f"GET /props says {name}={value!r:.80}, which is no number of tokens")
    return value or 0


def read_metrics(content: bytes) -> dict[str, float]:
    """Return the gauges and counters of ``GET /metrics``."""
    values: dict[str, float] = {}
    for line in content.decode("utf-8", "replace").splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith("llamacpp:"):
            try:
                values[name.removeprefix("llamacpp:")] = float(value)
            except ValueError as error:
                raise ProtocolError(f"not a metrics line: {line[:_SHOWN]!r}") from error
    return values


# ---------------------------------------------------------------------------
# Vectors and ranks
# ---------------------------------------------------------------------------


def vectors_reader(texts: Sequence[str], first: int) -> Callable[[bytes], list[list[float]]]:
    """Return the reader of ``POST /v1/embeddings`` for these texts.

    It returns one vector per text, in their order, all of one length. It raises ``ProtocolError``,
    which names the text, if a vector is missing, comes twice, is no list of finite numbers (or
    their base64), or all zeros.

    Args:
        texts: what the request sends.
        first: the index of the first one in the caller's list, for errors.
    """

    def read(content: bytes) -> list[list[float]]:
        rows = field("data", is_objects)(content)
        found = _by_index(rows, texts, "texts", first, "vector")
        vectors = []
        for index in range(len(texts)):
            try:
                vectors.append(_vector(found[index].get("embedding")))
            except ValueError as error:
                raise ProtocolError(
                    f"the vector of {named(texts, index, first=first)} {error}"
                ) from (None)
            if len(vectors[-1]) != len(vectors[0]):
                raise ProtocolError(
                    f"the vector of {named(texts, index, first=first)} has {len(vectors[-1])} "
                    f"numbers, that of texts[{first}] has {len(vectors[0])}"
                )
        return vectors

    return read


def _by_index(
    rows: Sequence[Mapping[str, Any]], texts: Sequence[str], name: str, first: int, what: str
) -> dict[int, Mapping[str, Any]]:
    """Return the rows by their index, each of which must be that of a text, and come once."""
    found: dict[int, Mapping[str, Any]] = {}
    for row in rows:
        index: Any = row.get("index")
        if not is_count(index) or index >= len(texts):
            raise ProtocolError(
                f"the server sent a {what} for the index {index!r:.40}, and the request has "
                f"{len(texts)} {name}"
            )
        if index in found:
            raise ProtocolError(
                f"the server sent two {what}s for {named(texts, index, name, first)} and "
                f"{len(rows)} for {len(texts)} {name}"
            )
        found[index] = row
    if what == "vector" and (missing := [n for n in range(len(texts)) if n not in found]):
        raise ProtocolError(
            f"the server sent {len(rows)} {what}s for {len(texts)} {name}: none for "
            f"{named(texts, missing[0], name, first)} …"
        )
    return found


def _vector(value: Any) -> list[float]:
    """Return a vector of finite numbers; raise ``ValueError`` if it is none."""
    if type(value) is str:
        value = _decoded(value)
    if type(value) is not list or not value:
        raise ValueError(f"is no list of numbers: {value!r:.80}")
    # Two passes in C: it may have thousands of numbers.
    if not _NUMBERS.issuperset(map(type, value)):
        wrong = next(each for each in value if type(each) not in _NUMBERS)
        if type(wrong) is list:
            raise ValueError(
                "is a list of lists, one per token: the server does not pool. Start it with "
                "pooling (--pooling mean), or load the model with pooling='mean'"
            )
        raise ValueError(f"holds {wrong!r:.80} instead of a number")
    if not all(map(math.isfinite, value)):
        raise ValueError("holds a number that is not finite")
    if not any(value):
        # ``send_embedding`` in ``server-context.cpp``, after "failed to get embeddings".
        raise ValueError(
            "is all zeros, which llama-server sends for a text that it could not embed: see its log"
        )
    return value


def _decoded(text: str) -> list[float]:
    """Return the numbers of a base64 text: little-endian floats of 4 bytes, as OpenAI's API has."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"is no list of numbers, and no base64: {text[:80]!r}") from None
    if len(data) % _FLOAT_SIZE:
        raise ValueError(f"is base64 of {len(data)} bytes, no multiple of {_FLOAT_SIZE}")
    return list(struct.unpack(f"<{len(data) // _FLOAT_SIZE}f", data))


def ranks_reader(
    documents: Sequence[str], top_n: int | None
) -> Callable[[bytes], list[tuple[int, float]]]:
    """Return the reader of ``POST /v1/rerank`` for these documents.

    It returns the ``top_n`` best ``(index, score)`` pairs, best first. It raises ``ProtocolError``
    if an index is out of range or comes twice, a score is no finite number, or some are missing.
    """
    wanted = len(documents) if top_n is None else min(top_n, len(documents))

    def read(content: bytes) -> list[tuple[int, float]]:
        rows = field("results", is_objects)(content)
        found = _by_index(rows, documents, "documents", 0, "score")
        if len(found) < wanted:
            raise ProtocolError(f"the server sent {len(found)} scores for {wanted} documents")
        pairs = []
        for index, row in found.items():
            score: Any = row.get("relevance_score")
            if type(score) not in _NUMBERS or not math.isfinite(score):
                where = named(documents, index, "documents")
                raise ProtocolError(f"the score of {where} is no finite number: {score!r:.80}")
            if score == _NO_SCORE:
                where = named(documents, index, "documents")
                raise ProtocolError(
                    f"the score of {where} is {score}, which is what llama-server sends for a "
                    "document that it could not rank: see its log"
                )
            pairs.append((index, float(score)))
        return sorted(pairs, key=lambda pair: -pair[1])[:wanted]

    return read


def _begin(content: bytes) -> str:
    return repr(content[:_SHOWN])
