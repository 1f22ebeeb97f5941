"""The half that the framework adapters share: flat options, and the model behind them.

Both frameworks describe their classes with pydantic; nothing else in ``rocm_core`` imports it.
``fields`` is generated from ``rocm_core.config``; ``options`` knows what they mean,
``call_options`` which ones a call may have, and ``hints``, with the tables of ``rivals``, what an
unknown one should have been. No framework.
"""

from rocm_core.adapter.call_options import one_answer
from rocm_core.adapter.lost_letters import awarn_of_lost_letters, warn_of_lost_letters
from rocm_core.adapter.options import GenerationOptions, RocmOptions
from rocm_core.adapter.rivals import LANGCHAIN, LLAMA_INDEX

__all__ = [
    "LANGCHAIN",
    "LLAMA_INDEX",
    "GenerationOptions",
    "RocmOptions",
    "awarn_of_lost_letters",
    "one_answer",
    "warn_of_lost_letters",
]
