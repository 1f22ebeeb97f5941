"""What an option that an adapter does not have should have been. Pure.

another integration's name ─▶ rivals     "ChatOllama's num_ctx is context_len here."
a field of the request     ─▶ requests   "extra_body={'n_probs': …} sends it"
llama-server's flag        ─▶ config     "llama-server's -ngl is gpu_layers here."
a slip of the pen          ─▶ difflib    "Did you mean 'temperature'?"
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from rocm_core.adapter.rivals.options import (
    LANGCHAIN,
    LLAMA_INDEX,
    OLLAMA_OPTIONS,
    RIVALS,
    Counterpart,
)
from rocm_core.config import nearest
from rocm_core.config.catalog import groups
from rocm_core.requests import CHAT_FIELDS, GENERATION_FIELDS

# Options of other integrations that hold options.
_HOLDERS = frozenset({"options", "additional_kwargs", "model_kwargs", "generate_kwargs"})
# Options that other integrations take in a call alone.
_OF_CALLS = {
    LANGCHAIN: {"format": "with_structured_output(schema), or response_format={…}"},
    LLAMA_INDEX: {
        "format": "structured_predict, as_structured_llm(cls), or response_format={…}",
        "thinking": "reasoning=True, False or an effort",
        "image_documents": "image blocks in the messages of chat()",
    },
    "": {
        "images": "image blocks in the messages",
        "user": "nothing: llama-server keeps no account of users",
        "prompt_cache_key": "id_slot, or parallel, with which a conversation keeps its slot",
    },
}
# Options of another class of the same package.
_OF_OTHER_CLASSES = {
    "embeddings": "the class for embeddings",
    "pooling": "the class for embeddings",
    "rerank": "RocmRerank",
    "json_schema": "json_schema=… or response_format={…} of a call, or structured output",
    "extra": "extra_body={…}",
}


def hint(
    name: str,
    value: Any,
    known: Collection[str],
    framework: str,
    call: Collection[str] | None = None,
) -> str:
    """Return what to write instead of an unknown option, as sentences; empty for no idea.

    Args:
        name: the option's name.
        value: its value; names inside a mapping such as ``options={…}`` are looked up as well.
        known: the options of the class, and for a call those of its calls.
        framework: whose users know which other classes.
        call: the options of its calls alone; ``None`` if a constructor was given the option.
    """
    if name in _HOLDERS and isinstance(value, Mapping):
        found = [hint(str(n), None, known, framework, call) for n in value]
        return " ".join(filter(None, found)) or "Give what is in it by name, or in extra_body={…}."
    own = any(name in r.fields for r in RIVALS if r.framework == framework)
    for names in () if own and call is None else (_OF_CALLS.get(framework, {}), _OF_CALLS[""]):
        if name in names:
            return _use(names[name])
    for said, option in _hints(name, known, framework):
        late = call is not None and option and option not in call
        return f"{said} It is given when the model is made, not to a call." if late else said
    return ""


def _hints(name: str, known: Collection[str], framework: str) -> Iterator[tuple[str, str]]:
    """Yield sentences, the best first, each with the option of ours that it names, if any."""
    if name in _OF_OTHER_CLASSES:
        yield f"Use {_OF_OTHER_CLASSES[name]}.", ""
    for rival in sorted(RIVALS, key=lambda rival: rival.framework != framework):
        found = rival.fields.get(name)
        if found is None or found.text == name:
            continue
        if found.kind != "option" or found.text in known:
            owner = "Ollama" if rival is OLLAMA_OPTIONS else rival.name
            yield _said(f"{owner}'s {name}", found), found.text
    if name in known:  # as an option inside of another one
        yield f"{name} is {name} here.", name
    if name in GENERATION_FIELDS | CHAT_FIELDS and "extra_body" in known:
        yield f"extra_body={{{name!r}: …}} sends it, or {name}=… of a call.", ""
    if (ours := _wires().get(name.lstrip("-"))) in known:
        yield f"llama-server's {name} is {ours} here.", str(ours)
    if near := nearest(name, known):
        yield f"Did you mean {near!r}?", near


def _use(text: str) -> str:
    reason = text.removeprefix("nothing: ")
    return f"Use {text}." if reason == text else f"It is not needed here: {reason}."


def _said(subject: str, found: Counterpart) -> str:
    if found.kind == "option":
        return f"{subject} is {found.text} here{f' ({found.note})' if found.note else ''}."
    if found.text.startswith("nothing: "):
        return f"{subject} is not needed here: {found.reason}."
    if found.kind == "instead":
        return f"Instead of {subject}: {found.text}."
    return f"{subject} has no counterpart here: {found.text}."


def _wires() -> dict[str, str]:
    """Return llama-server's own names of our options."""
    return {
        option.wire.lstrip("-").replace("-", "_"): option.name
        for group in groups().values()
        for option in group.values()
        if option.wire
    }
