"""What the classes of this package share beyond their options: pickling."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Any, ClassVar

from rocm_core import LoadConfig
from rocm_core.adapter import LLAMA_INDEX, RocmOptions

# What LlamaIndex's own fields mean; it does not say so where an IDE would show it.
_OF_LLAMA_INDEX = {
    "callback_manager": "LlamaIndex's callbacks of every call.",
    "pydantic_program_mode": "A way of LlamaIndex to structured output in place of ours.",
}


class RocmComponent(RocmOptions):
    """``RocmOptions`` of a LlamaIndex component."""

    _framework: ClassVar[str] = LLAMA_INDEX

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for name, field in cls.model_fields.items():
            field.description = field.description or _OF_LLAMA_INDEX.get(name)

    def __getstate__(self) -> dict[Any, Any]:
        # LlamaIndex's own removes what cannot be pickled from the object itself: lend it a copy.
        return super(RocmComponent, copy(self)).__getstate__()

    def __setstate__(self, state: dict[Any, Any]) -> None:
        # LlamaIndex's own makes the object anew: that is not the moment to load the model, and
        # it forgets what the pickle left behind.
        held = state["__dict__"]
        checks = held.get("validate_model_on_init", False)
        anew = {**held, "validate_model_on_init": False}
        super().__setstate__({**state, "__dict__": anew})
        self.validate_model_on_init = checks
        self._lost = (state.get("__pydantic_private__") or {}).get("_lost", ())

    def _in_mode(self, **mode: Any) -> LoadConfig:
        """The load options, and for a server of our own what it has to be able to do."""
        config = RocmOptions.load_config(self)
        return replace(config, **({} if self.is_remote else mode))
