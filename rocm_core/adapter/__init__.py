"""The half that the framework adapters share: flat options, and the model behind them.

Both frameworks describe their classes with pydantic; nothing else in ``rocm_core`` imports it.
``fields`` is generated from ``rocm_core.config``; ``options`` knows what they mean. No framework.
"""

from rocm_core.adapter.options import GenerationOptions, RocmOptions

__all__ = ["GenerationOptions", "RocmOptions"]
