"""Options as plain data: how to generate, how to load, how long to wait.

Unset is ``None`` and is not sent; 0 is a value and is sent. Wire names and command-line
flags live where they are used (``client.calls``, ``server.command``), not here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar

from rocm_core.errors import ConfigError

C = TypeVar("C", bound="GenerateConfig | LoadConfig")


def _names(cls: type[Any]) -> list[str]:
    return [f.name for f in fields(cls)]


def unknown_option(name: str, known: Sequence[str], where: str) -> ConfigError:
    """The error for an option nobody knows, with the nearest known name as a hint."""
    near = get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(sorted(known))}."
    return ConfigError(f"{where} has no option {name!r}.{hint}")


def override(config: C, options: Mapping[str, Any]) -> C:
    """A copy of ``config`` with ``options`` set.

    Raises:
        ConfigError: an option is unknown or its value is out of range.
    """
    if not options:
        return config
    known = _names(type(config))
    for name in options:
        if name not in known:
            raise unknown_option(name, known, type(config).__name__)
    return replace(config, **options)


def _as_tuple(value: object) -> tuple[Any, ...]:
    if value is None:
        return ()
    if isinstance(value, (str, Path)):
        return (value,)
    if isinstance(value, Sequence):
        return tuple(value)
    raise ConfigError(f"expected a value or a list of values, got {value!r}")


@dataclass(frozen=True)
class GenerateConfig:
    """How to generate one answer; the names are llama-server's.

    The two defaults are a contract of ``TextModel``: 256 tokens, greedy. Every other option
    is unset, so the server's (and the GGUF's) own default applies.

    Attributes:
        max_tokens: most tokens to generate; -1 or ``None`` for no limit but the context.
        stop: strings that end the answer; they are not part of it.
        stop_token_ids: token ids that end the answer.
        grammar: GBNF text; excludes ``json_schema``.
        extra: any further request field of llama-server, sent as it is.
    """

    max_tokens: int | None = 256
    temperature: float | None = 0.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repeat_penalty: float | None = None
    repeat_last_n: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: Sequence[str] = ()
    stop_token_ids: Sequence[int] = ()
    grammar: str | None = None
    json_schema: Mapping[str, Any] | None = None
    logit_bias: Sequence[Sequence[Any]] | Mapping[str, float] | None = None
    ignore_eos: bool | None = None
    cache_prompt: bool | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", _as_tuple(self.stop))
        object.__setattr__(self, "stop_token_ids", _as_tuple(self.stop_token_ids))
        if self.max_tokens is not None and self.max_tokens < -1:
            raise ConfigError("max_tokens must be -1 (no limit), 0 or more")
        if self.grammar is not None and self.json_schema is not None:
            raise ConfigError("give grammar or json_schema, not both")
        if not all(isinstance(s, str) for s in self.stop):
            raise ConfigError("stop takes strings; token ids go into stop_token_ids")
        if not all(type(i) is int for i in self.stop_token_ids):
            raise ConfigError("stop_token_ids takes integers; strings go into stop")


Engine = Literal["auto", "binary", "embedded"]


@dataclass(frozen=True)
class LoadConfig:
    """How to load a model and run its server.

    Attributes:
        backend: ``"rocm"``, ``"cpu"``, ``"remote"``, a registered name, or ``"auto"``.
        engine: ``"binary"`` (a ``llama-server`` program), ``"embedded"`` (llama.cpp from the
            package ``xllamacpp``), or ``"auto"``: a binary if there is one.
        server_path: the ``llama-server`` to run: a file, or a directory that holds it.
        context_len: context length of each slot in tokens; 0 for the model's own.
        gpu_layers: layers on the GPU; -1 for all, 0 for none.
        parallel: slots with a context of their own each; ``None`` leaves it to the server,
            which then opens 4 slots that share one KV cache of ``context_len`` tokens.
        threads: CPU threads; ``None`` chooses by physical cores and model size.
        flash_attn: on, off, or ``None`` for the server's own choice.
        lora: LoRA adapter files.
        mmproj: multimodal projector file.
        draft_model: GGUF of a draft model for speculative decoding.
        chat_template: Jinja text that replaces the model's own chat template.
        embeddings: serve ``/v1/embeddings`` (with ``pooling`` of the model, or as given).
        rerank: serve ``/v1/rerank``.
        rpc_servers: ``host:port`` of llama.cpp RPC workers (fragile, never on open networks).
        model_name: the name that requests carry and the server shows; a router or proxy with
            several models needs it. ``None``: the file's name, or nothing for a remote server.
        port: TCP port on loopback, 0 for a free one; ``None`` for a private unix socket.
        stall_timeout: seconds without any sign of progress after which loading has failed.
        extra_args: further arguments for llama-server, as they are.
    """

    backend: str = "auto"
    engine: Engine = "auto"
    server_path: str | Path | None = None
    context_len: int = 0
    gpu_layers: int = -1
    parallel: int | None = None
    threads: int | None = None
    batch_size: int | None = None
    ubatch_size: int | None = None
    flash_attn: bool | None = None
    cache_type_k: str | None = None
    cache_type_v: str | None = None
    lora: Sequence[str | Path] = ()
    mmproj: str | Path | None = None
    draft_model: str | Path | None = None
    chat_template: str | None = None
    embeddings: bool = False
    pooling: str | None = None
    rerank: bool = False
    rpc_servers: Sequence[str] = ()
    model_name: str | None = None
    port: int | None = None
    stall_timeout: float = 120.0
    extra_args: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("lora", "rpc_servers", "extra_args"):
            object.__setattr__(self, name, _as_tuple(getattr(self, name)))
        if self.engine not in ("auto", "binary", "embedded"):
            raise ConfigError(f"engine must be 'auto', 'binary' or 'embedded', not {self.engine!r}")
        if self.engine == "embedded" and self.server_path is not None:
            raise ConfigError("server_path names a program; engine='embedded' runs none")
        for name, least in (
            ("context_len", 0),
            ("gpu_layers", -1),
            ("parallel", 1),
            ("threads", 1),
            ("batch_size", 1),
            ("ubatch_size", 1),
            ("port", 0),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} must be {least} or more, not {value}")


@dataclass(frozen=True)
class Timeouts:
    """How long to wait, in seconds, for each phase of a request; ``None`` waits for ever.

    Attributes:
        connect: to reach the server.
        first_token: from the request to the first byte of the answer: queueing for a slot and
            prefill (llama-server sends no headers before that).
        idle: between two pieces of a stream; llama-server pings every 30 s
            (``sse_ping_interval``), so the default lets two pings go missing.
        total: for the whole answer.
    """

    connect: float | None = 5.0
    first_token: float | None = 600.0
    idle: float | None = 75.0
    total: float | None = None
