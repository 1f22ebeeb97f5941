"""Chat templates of published models, which the repository does not hold.

They are read from the folder that ``LLAMA_ROCM_TEMPLATES`` names, else from ``shared/templates``
beside the repository; ``tests/README.md`` says how to get them.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.models.reciter import CHAT_TEMPLATE

# Read once: the environment of a single test holds no variable of this project.
_FOLDER = Path(
    os.environ.get("LLAMA_ROCM_TEMPLATES")
    or Path(__file__).resolve().parents[3] / "shared" / "templates"
)


def template_names() -> list[str]:
    """Return the names of the templates that are here, sorted; none without the folder."""
    return sorted(path.stem for path in _FOLDER.glob("*.jinja"))


def template_text(name: str) -> str:
    """Return the Jinja text of the template with this name."""
    return (_FOLDER / f"{name}.jinja").read_text(encoding="utf-8")


UNHELD = "{#- <|tool_calls_section_begin|> <|tool_call_begin|> -#}\n" + CHAT_TEMPLATE.replace(
    "<|im_start|>assistant\\n", "<|im_assistant|>assistant<|im_middle|>"
)
"""A template of our own that llama.cpp takes for Kimi K2's, by these marks: its handler makes no
grammar of a schema (``common/parsers/kimi-k2.cpp``)."""
