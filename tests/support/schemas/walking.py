"""Answers of the walker under schemas: what an engine's grammar really allows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema

from rocm_core import GenerateConfig, TextModel
from rocm_core.requests import schema_format
from rocm_core.types import StreamEvent

ANY_TOKEN = GenerateConfig(max_tokens=150, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0)
"""How the walker answers: no token is left out for being unlikely."""

Validator = jsonschema.Draft202012Validator


def fits(value: Any, schema: Any) -> bool:
    """Whether a value fits a schema, formats included."""
    checker = Validator.FORMAT_CHECKER
    return bool(Validator(schema, format_checker=checker).is_valid(value))


def chats(model: TextModel, schema: Any, count: int = 12) -> list[Any]:
    """The whole answers among ``count`` of a chat; each must be JSON."""
    format_ = {"response_format": schema_format(schema)}
    streams = (
        model.chat_events([{"role": "user", "content": "x"}], _seeded(seed), **format_)
        for seed in range(count)
    )
    return list(_whole(streams))


def completions(model: TextModel, schema: Any, count: int = 12) -> list[Any]:
    """The same of ``json_schema=`` of a completion."""
    streams = (
        model.completion_events("x", _seeded(seed, json_schema=schema)) for seed in range(count)
    )
    return list(_whole(streams))


def _seeded(seed: int, **options: Any) -> GenerateConfig:
    fields = ("max_tokens", "temperature", "top_k", "top_p", "min_p")
    return GenerateConfig(
        seed=7919 * seed, **{name: getattr(ANY_TOKEN, name) for name in fields}, **options
    )


def _whole(streams: Iterator[Iterator[StreamEvent]]) -> Iterator[Any]:
    for stream in streams:
        events = list(stream)
        if "length" not in [event.finish_reason for event in events]:
            yield json.loads("".join(event.text for event in events))
