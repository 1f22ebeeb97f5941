"""From an option's declaration to a pydantic field."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from rocm_core.config.catalog import adapter_options


def declared(name: str) -> Any:
    """Return the pydantic field of an option, with its default, description and unit."""
    option = adapter_options()[name]
    default = option.default if option.adapter_default is ... else option.adapter_default
    facts: dict[str, Any] = {
        "description": option.sentence,
        "exclude": True if option.secret else None,
    }
    if isinstance(default, tuple):
        return Field(default_factory=list, **facts)
    return Field(default=default, **facts)
