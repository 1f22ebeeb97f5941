"""What a model was made of, so that a pickle makes it anew where it is opened."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rocm_core.config import GenerateConfig, LoadConfig, RemoteConfig, Timeouts
from rocm_core.discover.refs import ModelRef
from rocm_core.settings import Plan

if TYPE_CHECKING:
    from rocm_core.model.text_model import TextModel


@dataclass(frozen=True)
class Recipe:
    """The arguments of ``load_model`` that make a model.

    Attributes:
        ref: the model; a file by its whole path. Not in ``repr``: a URL may hold a password.
        config: how to load it, complete.
        remote: how to reach a running server.
        timeouts, generate: as ``load_model`` takes them.
        lost: options with secrets that stayed behind in a pickle.
    """

    ref: str = field(repr=False)
    config: LoadConfig
    remote: RemoteConfig
    timeouts: Timeouts
    generate: GenerateConfig
    lost: tuple[str, ...] = ()

    @classmethod
    def of(cls, plan: Plan, found: ModelRef, limits: Timeouts) -> Recipe:
        """Return the recipe of a model; ``found`` is what the reference of its plan meant."""
        text = os.fspath(plan.ref)
        if found.kind == "file" and text != "demo" and not Path(text).is_absolute():
            text = found.value
        text = found.value if found.kind == "url" else text
        return cls(text, plan.config, plan.remote, limits, plan.generate)

    def without_secrets(self, address: str) -> Recipe:
        """Return the recipe for a pickle.

        Args:
            address: the name of its model (``ModelRef.name``), of a URL without a password.
        """
        found = {
            "environment": self.config.environment,
            "api_key": self.remote.api_key,
            "headers": self.remote.headers,
        }
        lost = tuple(name for name, value in found.items() if value)
        url = self.ref.startswith(("http://", "https://"))
        return replace(
            self,
            ref=address if url else self.ref,
            config=replace(self.config, environment=()),
            remote=replace(self.remote, api_key=None, headers={}),
            lost=lost or self.lost,
        )

    def make(self) -> TextModel:
        """Make the model; a secret that the recipe lost comes from the settings here, if at all."""
        from rocm_core.model.text_model import load_model

        plain = RemoteConfig()
        remote: dict[str, Any] = {
            f.name: value
            for f in fields(RemoteConfig)
            if (value := getattr(self.remote, f.name)) != getattr(plain, f.name)
        }
        model = load_model(
            self.ref, self.config, timeouts=self.timeouts, generate=self.generate, **remote
        )
        made = model.recipe
        if self.lost and made is not None:
            held = {**vars(made.remote), "environment": made.config.environment}
            lost = tuple(name for name in self.lost if not held[name])
            model.recipe = replace(made, lost=lost)
            _tell_what_was_lost(model, lost)
        return model


def _tell_what_was_lost(model: TextModel, lost: tuple[str, ...]) -> None:
    if "environment" in lost:
        warnings.warn(
            "environment= of this TextModel stayed behind when it was pickled: its values may be "
            "secret. Set the variables where the copy runs.",
            stacklevel=4,
        )
    if secrets := [name for name in lost if name != "environment"]:
        variables = " and ".join(f"LLAMA_ROCM_{name.upper()}" for name in secrets)
        model.explain_refusals(
            f"This TextModel was pickled, and a pickle carries no {' or '.join(secrets)}: set "
            f"{variables} where it runs, or make it there."
        )


def remade(recipe: Recipe) -> TextModel:
    """Make a model of its recipe; what a pickle calls."""
    return recipe.make()
