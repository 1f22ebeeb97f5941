"""Every option by its flat name, in groups, for whatever lists options."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from rocm_core.config.generate import GenerateConfig
from rocm_core.config.load import LoadConfig
from rocm_core.config.option import Option, documented, option, options_of, read_options
from rocm_core.config.remote import RemoteConfig, Timeouts
from rocm_core.config.values import FilePath, Text, Url


@documented
@dataclass(frozen=True)
class Target:
    """Which model, and where."""

    model: str | None = option(
        None,
        Text(),
        "GGUF file, directory, org/repo[:quant], a name in ROCM_MODEL_DIR, demo, or the URL of a "
        "running server. With base_url: the model's name there, if it has several.",
        annotation="str",
        adapter_default="",
        example="demo",
    )
    base_url: str | None = option(
        None,
        Url(),
        "URL of a running server to use instead of starting one; http:// may be left out.",
        flag=None,
        example="http://127.0.0.1:8081",
    )
    model_dir: str | None = option(
        None,
        FilePath(),
        "Directory where names of models are looked for.",
        in_adapters=False,
        flag=None,
        example="/srv/models",
    )

    def __post_init__(self) -> None:
        read_options(self)


@functools.cache
def groups() -> dict[str, dict[str, Option]]:
    """Return every option: group (its heading) to flat name to option."""
    return {
        title: {found.name: found for found in options_of(cls).values()}
        for title, cls in (
            ("Which model, and where", Target),
            ("A server that runs already", RemoteConfig),
            ("How long to wait", Timeouts),
            ("How to load", LoadConfig),
            ("How to generate", GenerateConfig),
        )
    }


@functools.cache
def setting_options() -> dict[str, Option]:
    """Return the options that the environment and the configuration files may give."""
    return {
        name: found for group in groups().values() for name, found in group.items() if found.setting
    }


@functools.cache
def adapter_options() -> dict[str, Option]:
    """Return the options that every adapter for generation has as fields."""
    found: dict[str, Option] = {}
    for group in groups().values():
        found |= {n: o for n, o in group.items() if o.in_adapters and n not in found}
    return found
