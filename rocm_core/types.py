"""Plain data that rooms pass to each other. No I/O, no behavior beyond arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rocm_core.display.report import Report


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: ``system``, ``user``, ``assistant`` or ``tool``.
        content: text, or a list of content parts as ``/v1/chat/completions`` takes them.
    """

    role: str
    content: str | list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of generated text.

    Attributes:
        text: the piece; may be empty.
        id: the token's real id; ``None`` if the stream carries no ids, or if the server joined
            several tokens (one multi-byte character, for example).
    """

    text: str
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request.

    Attributes:
        prompt_tokens: tokens of the prompt.
        completion_tokens: tokens of the answer.
        cached_tokens: tokens of the prompt that were in the KV cache.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Tokens of prompt and answer."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Timings:
    """llama-server's ``timings`` of one request, by its names (``tools/server/server-task.cpp``).

    Attributes:
        prompt_n, prompt_ms, prompt_per_second: prefill: tokens, milliseconds, tokens per second.
        predicted_n, predicted_ms, predicted_per_second: the same of decode.
        cache_n: tokens of the prompt that were in the KV cache, and are not in ``prompt_n``.
        draft_n: tokens that speculative decoding drafted.
        draft_n_accepted: drafted tokens that were kept.
    """

    prompt_n: int = 0
    prompt_ms: float = 0.0
    prompt_per_second: float = 0.0
    predicted_n: int = 0
    predicted_ms: float = 0.0
    predicted_per_second: float = 0.0
    cache_n: int = 0
    draft_n: int = 0
    draft_n_accepted: int = 0

    def as_dict(self) -> dict[str, float]:
        """Return the fields as a dict, for metadata."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A part of a tool call.

    Attributes:
        index: number of the call in the answer, from 0.
        id, name: of the call; only its first part has them.
        arguments: the next piece of the arguments' JSON text.
    """

    index: int
    id: str | None
    name: str | None
    arguments: str


@dataclass(slots=True)
class StreamEvent:
    """One event of a generation stream, of any dialect.

    A field has its empty default unless this event carries it.

    Attributes:
        text: a piece of the answer.
        raw: the decoded JSON object, for everything that this class does not name.
        reasoning: a piece of the model's reasoning.
        token_ids: ids of the tokens in ``text``.
        tool_calls: parts of tool calls.
        logprobs: one object per token, as the server sends them.
        finish_reason: ``stop``, ``length`` or ``tool_calls``, in the answer's last event.
        stop_word: the stop string that ended the answer.
        usage, timings: of the request, once, at the end.
        model: the server's name of the model, at the end.
        choice: number of the answer that the event belongs to, from 0; not 0 only in requests for
            several answers (``n``).
    """

    text: str = ""
    raw: dict[str, Any] = field(default_factory=dict)
    reasoning: str = ""
    token_ids: tuple[int, ...] = ()
    tool_calls: tuple[ToolCallDelta, ...] = ()
    logprobs: list[dict[str, Any]] | None = None
    finish_reason: str | None = None
    stop_word: str | None = None
    usage: Usage | None = None
    timings: Timings | None = None
    model: str | None = None
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ServerProps:
    """Facts of a server, from ``GET /props``; read once per server process.

    Attributes:
        n_ctx: context length of one slot in tokens; 0 if unknown.
        total_slots: requests that the server computes at once; 0 if unknown.
        model_path, model_alias: file and name of the model.
        chat_template: the model's Jinja template.
        chat_template_caps: what the template supports, such as ``supports_tools``.
        modalities: what the model takes, such as ``vision``; empty if unknown.
        build_info: llama.cpp's build.
        raw: the whole JSON object.
    """

    n_ctx: int
    total_slots: int
    model_path: str
    model_alias: str
    chat_template: str
    chat_template_caps: Mapping[str, bool]
    modalities: Mapping[str, bool]
    build_info: str
    raw: Mapping[str, Any]

    def generation_defaults(self) -> dict[str, Any]:
        """Return what applies to each field that a request leaves out, and ``n_ctx``.

        Empty if the server does not tell. The names are llama-server's; its floats have 32 bits, so
        they are rounded to 7 digits (``top_p`` is 0.95, not 0.949999988079071).
        """
        settings = self.raw.get("default_generation_settings") or {}
        found = settings.get("params")
        if not isinstance(found, dict):
            return {}
        rounded = {k: float(f"{v:.7g}") if type(v) is float else v for k, v in found.items()}
        return {**rounded, "n_ctx": self.n_ctx}


@dataclass(frozen=True, slots=True)
class ThinkingFacts:
    """What a chat template knows of thinking.

    Attributes:
        thinks: it opens, shows, cuts out or switches thoughts.
        switchable: a variable, or words in a message, turn them on and off.
        efforts: the efforts that change its prompt, of low, medium and high in this order.
    """

    thinks: bool = False
    switchable: bool = False
    efforts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Facts of a loaded model, from the server and the GGUF header.

    Attributes:
        name: the model's name in requests.
        architecture: ``llama``, ``qwen3``, …; ``None`` if the server's file is not on this machine.
        decision_type: ``openjev``, ``lev``, …, of a decision model; ``None`` of any other, or if
            the file is not on this machine.
        n_ctx: context length of one slot in tokens.
        n_ctx_train: tokens that the model was trained for; ``None`` if unknown.
        total_slots: requests that the server computes at once.
        chat_template_caps: what the chat template supports, such as ``supports_tools``.
        modalities: what the model takes, such as ``vision``.
        build_info: llama.cpp's build.
    """

    name: str
    architecture: str | None
    n_ctx: int
    n_ctx_train: int | None
    total_slots: int
    chat_template_caps: Mapping[str, bool]
    modalities: Mapping[str, bool]
    build_info: str
    decision_type: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One finding of doctor or preflight.

    Attributes:
        name: of the check, such as ``kernel_driver``.
        status: ``skipped`` means that an earlier failure made the check impossible, or that
            nobody asked for it.
        detail: what was found, in words.
        remedy: what to do about a failure or a warning; else empty.
    """

    name: str
    status: Literal["ok", "warning", "failed", "skipped"]
    detail: str
    remedy: str = ""


class Checks(Report[Check]):
    """Findings; a notebook shows them as a table."""

    heads = ("", "check", "found", "what to do")

    def row(self, item: Check) -> tuple[str, ...]:
        """Return status, name, detail and remedy."""
        remedy = item.remedy if item.status in ("failed", "warning") else ""
        return item.status, item.name, item.detail, remedy

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        for number, item in enumerate(self):
            if number:
                printer.break_()
            status, name, detail, remedy = self.row(item)
            printer.text(f"{status:<8} {name}: {detail}")
            if remedy:
                printer.break_()
                printer.text(f"         → {remedy}")
