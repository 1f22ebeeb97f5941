"""Vectors, ranks and facts that are not those of the request."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

from rocm_core.errors import ClientError, HTTPStatusError, ProtocolError, RequestTimeout
from tests.support.servers.fake_server import Reply, answer
from tests.support.servers.hostile import Case, drip, raw

TEXTS = ("one", "two", "three")
VECTORS = [[0.5, -1.0], [0.25, 2.0], [1, 0.0]]
BEST = [(2, 3.5), (0, 1.0), (1, -2.0)]
ANY: dict[str, Any] = {
    "null": None,
    "true": True,
    "a number": 7,
    "a text": "x",
    "a list": [1],
    "a list of lists": [[1.0]],
    "an object": {"a": 1},
    "an empty list": [],
}


def _row(index: Any, value: Any, name: str = "embedding") -> dict[str, Any]:
    return {"object": "x", "index": index, name: value}


def _rows(*order: int) -> list[dict[str, Any]]:
    return [_row(index, VECTORS[index]) for index in order or range(3)]


def _ranks(*order: int) -> list[dict[str, Any]]:
    scores = dict(BEST)
    return [_row(index, scores[index], "relevance_score") for index in order or (0, 1, 2)]


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _json(value: Any) -> Reply:
    return answer(json.dumps(value).encode())


def _changed(rows: list[dict[str, Any]], name: str, value: Any) -> list[dict[str, Any]]:
    return [rows[0], {**rows[1], name: value}, rows[2]]


def _right(of: str) -> Iterator[tuple[str, Reply]]:
    rows = _rows if of == "data" else _ranks
    yield "as it should be", _json({of: rows()})
    yield "in another order", _json({of: rows(2, 0, 1)})
    yield "with more beside", _json({of: rows(), "usage": None, "error": None, "model": 7})
    if of == "data":
        packed = [_row(index, _base64(vector)) for index, vector in enumerate(VECTORS)]
        yield "base64", _json({of: packed})
        yield "whole numbers", _json({of: [*_rows(0, 1), _row(2, [1, 0])]})


def _wrong(of: str) -> Iterator[tuple[str, Reply, str]]:
    """Names, replies, and what the error says."""
    rows, name = (_rows, "embedding") if of == "data" else (_ranks, "relevance_score")
    text = "texts[1]" if of == "data" else "documents[1]"
    full = rows()
    for kind, value in ANY.items():
        yield f"all of it is {kind}", _json(value), ""
        yield f"{of} is {kind}", _json({of: value}), ""
        yield (
            f"a row is {kind}",
            _json({of: [full[0], value, full[2]]}),
            "" if kind == "an object" else of,
        )
        if (of, kind) != ("results", "a number"):
            yield f"{name} is {kind}", _json({of: _changed(full, name, value)}), text
        if kind != "a number" or of == "data":
            yield f"index is {kind}", _json({of: _changed(full, "index", value)}), "index"
    for what, index in {"negative": -1, "too large": 3, "a fraction": 0.5, "a text": "1"}.items():
        yield f"index {what}", _json({of: _changed(full, "index", index)}), "index"
    yield "one too few", _json({of: rows(0, 2)}), ""
    yield "one too many", _json({of: [*full, full[0]]}), ""
    yield "the same twice", _json({of: rows(0, 1, 1)}), text
    yield "no index", _json({of: [{name: row[name]} for row in full]}), "index"
    yield "no value", _json({of: [{"index": n} for n in range(3)]}), ""
    yield "none", _json({of: []}), ""
    yield "another name", _json({"other": full}), of
    nan = json.dumps({of: _changed(full, name, float("nan"))}).encode()
    yield "no number (NaN)", answer(nan), ""
    yield "a page", answer(b"<html><title>Log in</title>"), "Log in"
    yield "an error with status 200", _json({"error": {"message": "no model"}}), "no model"
    yield "half of it", answer(json.dumps({of: full}).encode()[:-8]), ""
    yield "nothing", answer(b""), ""
    yield "byte by byte, without an end", raw(b"HTTP/1.1 200 OK\r\n\r\n", *drip(b" " * 400)), ""
    if of == "results":
        for what, score in {"of no ranking": -1e6, "of it as a whole number": -(10**6)}.items():
            yield f"a score {what}", _json({of: _changed(full, name, score)}), text
    huge = json.dumps({of: _changed(full, name, [10**400] if of == "data" else 10**400)})
    yield "a number beyond all", answer(huge.encode()), ""
    if of == "data":
        for what, value in {
            "null inside": [None, 1.0],
            "a text inside": ["a", 1.0],
            "true inside": [True, 1.0],
            "a list inside": [[1.0], [2.0]],
            "too short": [1.0],
            "too long": [1.0, 2.0, 3.0],
            "base64 of half a number": base64.b64encode(b"12345").decode(),
            "base64 of NaN": _base64([float("nan"), 1.0]),
            "base64 of infinity": _base64([float("inf"), 1.0]),
            "base64 of nothing": "",
            "no base64": "ä!",
            "all zeros": [0.0, -0.0],
            "whole zeros": [0, 0],
            "base64 of zeros": _base64([0.0, 0.0]),
            "of nothing": [],
            "an object inside": [{}, 1.0],
            "a digit inside": ["1.0", 1.0],
        }.items():
            yield f"a vector {what}", _json({of: _changed(full, name, value)}), text


def cases(of: str) -> list[Case]:
    """The cases of ``data`` (embeddings) or of ``results`` (ranks)."""
    errors = (ProtocolError, HTTPStatusError)
    found = [Case(name, reply, "right") for name, reply in _right(of)]
    for name, reply, words in _wrong(of):
        slow = "without an end" in name
        raises = (RequestTimeout,) if slow else errors
        found.append(Case(name, reply, raises=raises, words=words, slow=slow))
    return found


_PROPS: dict[str, Any] = {
    "default_generation_settings": {"n_ctx": 512},
    "total_slots": 2,
    "model_path": "/models/m.gguf",
    "model_alias": "m",
    "chat_template": "",
    "chat_template_caps": {"supports_tools": True},
    "modalities": {"vision": False},
    "build_info": "b1",
}
_ACCEPTED = {
    "default_generation_settings": ("null", "an object"),
    "total_slots": ("null", "a number"),
    "chat_template_caps": ("null", "an object"),
    "modalities": ("null", "an object"),
    "model_path": ("null", "a text"),
    "model_alias": ("null", "a text"),
    "chat_template": ("null", "a text"),
    "build_info": ("null", "a text"),
}


def facts() -> list[Case]:
    """What a server tells of itself before the first request (``GET /props``)."""
    found = [Case("as it should be", _json(_PROPS), "right")]
    for name, accepted in _ACCEPTED.items():
        for kind, value in ANY.items():
            reply = _json({**_PROPS, name: value})
            if kind in accepted:
                found.append(Case(f"{name} is {kind}", reply, "right"))
            else:
                found.append(Case(f"{name} is {kind}", reply, raises=(ProtocolError,), words=name))
    for slots in (0, -1, -(2**31), 1.5, "many"):
        reply = _json({**_PROPS, "total_slots": slots})
        words = "total_slots"
        found.append(Case(f"{slots} slots", reply, raises=(ProtocolError,), words=words))
    for n_ctx in (-1, 1.5, "many", [1]):
        reply = _json({**_PROPS, "default_generation_settings": {"n_ctx": n_ctx}})
        found.append(Case(f"n_ctx {n_ctx}", reply, raises=(ProtocolError,), words="n_ctx"))
    for name, body in {
        "a list": b"[]",
        "a number": b"7",
        "nothing": b"",
        "an empty object": b"{}",
        "something else": b'{"status": "ok"}',
        "a page": b"<html><title>Log in</title>",
        "half of it": json.dumps(_PROPS).encode()[:-9],
    }.items():
        found.append(Case(name, answer(body), raises=(ProtocolError,)))
    unended = raw(b"HTTP/1.1 200 OK\r\n\r\n", *drip(b" " * 400))
    moved = raw(b"HTTP/1.1 302 F\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n")
    return [
        *found,
        Case("an error for 200", _json({"error": "Unexpected endpoint (GET /props)"}), "right"),
        Case("byte by byte, without an end", unended, raises=(RequestTimeout,), slow=True),
        Case("a redirect", moved, raises=(HTTPStatusError,), words="/login"),
    ]


def lists() -> list[Case]:
    """What a server tells of its models (``GET /v1/models``)."""
    found = [
        Case(f"data is {kind}", _json({"data": value}), raises=(ClientError,), words="data")
        for kind, value in ANY.items()
        if kind not in ("null", "an empty list")
    ]
    for name, data in {
        "null": None,
        "none": [],
        "an id as a number": [{"id": 7}],
        "an id as a list": [{"id": [1]}],
        "no id": [{"name": "m"}],
        "aliases null": [{"id": "m", "aliases": None}],
        "aliases as a text": [{"id": "m", "aliases": "x"}],
        "aliases of lists": [{"id": "m", "aliases": [[1]]}],
    }.items():
        found.append(Case(name, _json({"data": data}), "right"))
    return found
