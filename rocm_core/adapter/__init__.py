"""The half that the framework adapters share: flat options, and the model behind them.

Both frameworks describe their classes with pydantic; nothing else in ``rocm_core`` imports it.
``fields`` is generated from ``rocm_core.config``; ``options`` knows what they mean,
``call_options`` which ones a call may have, and ``hints``, with the tables of ``rivals``, what an
unknown one should have been; ``answers`` reads JSON as objects, and ``followup_request`` sends the
second request of an answer that one request cannot have. No framework.
"""

from rocm_core.adapter.answers import correction, fits, misfit, path_text, read_class, read_type
from rocm_core.adapter.call_options import FRAMEWORKS, answers_wanted, one_answer
from rocm_core.adapter.followup_request import (
    AsyncEvents,
    Events,
    acall_or_insist,
    atools_then_format,
    call_or_insist,
    tools_then_format,
)
from rocm_core.adapter.lost_letters import awarn_of_lost_letters, warn_of_lost_letters
from rocm_core.adapter.options import GenerationOptions, RocmOptions
from rocm_core.display.interrupts import short_interrupts
from rocm_core.threads import beside_loop

LANGCHAIN, LLAMA_INDEX = FRAMEWORKS

__all__ = [
    "LANGCHAIN",
    "LLAMA_INDEX",
    "AsyncEvents",
    "Events",
    "GenerationOptions",
    "RocmOptions",
    "acall_or_insist",
    "answers_wanted",
    "atools_then_format",
    "awarn_of_lost_letters",
    "beside_loop",
    "short_interrupts",
    "call_or_insist",
    "correction",
    "fits",
    "misfit",
    "one_answer",
    "path_text",
    "read_class",
    "read_type",
    "tools_then_format",
    "warn_of_lost_letters",
]
