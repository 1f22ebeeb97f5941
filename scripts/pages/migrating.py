"""The text of ``docs/migrating.md``, from the tables of other integrations' options."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from rocm_core.adapter.rivals.options import RIVALS, Counterpart, Rival

_WIDTH = 100
_RIVALS_SOURCE = (
    "Generated from rocm_core.adapter.rivals.options by `python -m scripts.generate`; change it "
    "there."
)
_MIGRATING_HEAD = f"""\
# Coming from another integration

<!-- {_RIVALS_SOURCE} -->

What each option of another class is called here. An option of theirs that is given to one of our
classes, or to a call, is refused with the same words; none is ignored.

A call takes the options of generation and every field of llama-server's request; what neither
knows goes into `extra_body={{…}}`, of a call or of the class. Options that load the model are given
when it is made. [The options](reference/options.md) lists all of ours; commands of Ollama and
llama.cpp are [in the table of the command line](reference/cli.md#commands-of-other-programs).
"""
_KINDS = ("option", "instead", "none")
# What people write there: module, and options; what it is here follows from the tables.
_EXAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "ChatOllama": (
        "langchain_ollama",
        {"model": "llama3.2", "num_ctx": 4096, "num_predict": 64, "keep_alive": "5m"},
    ),
    "ChatOpenAI": (
        "langchain_openai",
        {"model": "gpt-4o-mini", "max_completion_tokens": 64, "request_timeout": 60},
    ),
    "ChatLlamaCpp": (
        "langchain_community.chat_models",
        {"model_path": "model.gguf", "n_ctx": 4096, "n_gpu_layers": -1, "max_tokens": 64},
    ),
    "ChatLlama": ("langchain_llama_cpp", {"model": "model", "reasoning_budget_tokens": 64}),
    "Ollama": (
        "llama_index.llms.ollama",
        {"model": "llama3.2", "context_window": 4096, "request_timeout": 60, "thinking": False},
    ),
    "OpenAILike": (
        "llama_index.llms.openai_like",
        {"model": "model", "context_window": 4096, "max_tokens": 64, "timeout": 60},
    ),
    "LlamaCPP": (
        "llama_index.llms.llama_cpp",
        {"model_path": "model.gguf", "context_window": 4096, "max_new_tokens": 64},
    ),
}


def migrating() -> str:
    """Return the text of ``docs/migrating.md``."""
    return _MIGRATING_HEAD + "".join(_rival(rival) for rival in RIVALS)


def _rival(rival: Rival) -> str:
    lines = [f"\n## {rival.name}\n\nOf `{rival.package}`; here {rival.ours}.\n", *_example(rival)]
    same = [f"`{name}`" for name, found in rival.fields.items() if _is_same(name, found)]
    words = f"The same here: {', '.join(same)}."
    lines.append("\n" + textwrap.fill(words, _WIDTH, break_on_hyphens=False) + "\n")
    rows: dict[Counterpart, list[str]] = {}
    for name, found in rival.fields.items():
        if not _is_same(name, found):
            rows.setdefault(found, []).append(f"`{name}`")
    lines.append("\n| there | here |\n|---|---|\n")
    for found in sorted(rows, key=lambda found: _KINDS.index(found.kind)):
        lines.append(f"| {', '.join(rows[found])} | {_here(found)} |\n")
    return "".join(lines)


def _here(found: Counterpart) -> str:
    if found.kind == "option":
        return f"`{found.text}`" + (f": {found.note}" if found.note else "")
    needless = found.text.startswith("nothing: ")
    return found.text if found.kind == "instead" and not needless else f"none: {found.reason}"


def _is_same(name: str, found: Counterpart) -> bool:
    return found.kind == "option" and found.text == name and not found.note


def _example(rival: Rival) -> Iterator[str]:
    if rival.name not in _EXAMPLES:
        return
    module, options = _EXAMPLES[rival.name]
    package, _, ours = rival.ours.strip("`").rpartition(".")
    yield "\n```diff\n"
    yield f"-from {module} import {rival.name}\n-llm = {_call(rival.name, options)}\n"
    here = {_named_here(rival, name): value for name, value in options.items()}
    yield f"+from {package} import {ours}\n"
    yield f"+llm = {_call(ours, {**here, 'model': 'demo'})}\n```\n"


def _named_here(rival: Rival, name: str) -> str:
    found = rival.fields[name]
    if found.kind != "option":
        raise ValueError(f"the example of {rival.name} has {name}, which is no option here")
    return found.text


def _call(name: str, options: dict[str, Any]) -> str:
    return (
        f"{name}({', '.join(f'{option}={_written(value)}' for option, value in options.items())})"
    )


def _written(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
