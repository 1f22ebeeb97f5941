"""Plain data that travels between the floors. No I/O, no behavior beyond arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    ``content`` is text, or a list of content parts as ``/v1/chat/completions`` takes them.
    """

    role: str
    content: str | list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of generated text.

    ``id`` is the token's real id where the stream carries one, else ``None`` (a piece that
    was assembled from several tokens, for example one multi-byte character, has none).
    """

    text: str
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request; ``cached_tokens`` of the prompt came from the KV cache."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt plus completion."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Timings:
    """llama-server's own ``timings`` of one request, by its names.

    Prefill is ``prompt``, decode is ``predicted``; times in milliseconds, speeds in tokens per
    second. ``cache_n`` tokens of the prompt came from the KV cache; ``draft_n`` were drafted by
    speculative decoding, of which ``draft_n_accepted`` were kept.
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
        """For metadata fields."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A part of a tool call; ``id`` and ``name`` come with its first part only."""

    index: int
    id: str | None
    name: str | None
    arguments: str


@dataclass(slots=True)
class StreamEvent:
    """What one event of any generation stream says, whatever its dialect.

    A field keeps its empty default unless this event carries it. ``raw`` is the decoded
    JSON object, for what this class does not name.
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


@dataclass(frozen=True, slots=True)
class ServerProps:
    """The facts of ``GET /props`` that the floors above need; read once per server.

    ``n_ctx`` is the context length of one slot in tokens.
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


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a loaded model. ``n_ctx`` is per slot; ``None`` means unknown."""

    name: str
    architecture: str | None
    n_ctx: int
    n_ctx_train: int | None
    total_slots: int
    chat_template_caps: Mapping[str, bool]
    modalities: Mapping[str, bool]
    build_info: str


@dataclass(frozen=True, slots=True)
class Check:
    """One named finding of a preflight or of the doctor.

    ``remedy`` says what to do about a ``"failed"`` or a ``"warning"``; ``"skipped"`` means that
    an earlier finding made this one pointless, or that it was not asked for.
    """

    name: str
    status: Literal["ok", "warning", "failed", "skipped"]
    detail: str
    remedy: str = ""
