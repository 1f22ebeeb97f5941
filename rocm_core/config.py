"""Options as plain data: how to generate, how to load, how long to wait.

Unset is ``None`` and is not sent; 0 is a value and is sent. Wire names and command-line
flags live where they are used (``client.calls``, ``server.command``), not here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

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
        id_slot: the slot to use, for a prompt that should stay in its cache; -1 for any.
        timeout: seconds this answer may take in all, instead of the model's ``Timeouts.total``;
            not sent.
        coalesce: one event for all pieces that arrived while the consumer was busy; not sent.
            Off with ``stop_token_ids``, which need every token.
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
    top_n_sigma: float | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    dynatemp_range: float | None = None
    dynatemp_exponent: float | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_penalty_last_n: int | None = None
    dry_sequence_breakers: Sequence[str] | None = None
    mirostat: int | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    samplers: Sequence[str] | None = None
    min_keep: int | None = None
    seed: int | None = None
    stop: Sequence[str] = ()
    stop_token_ids: Sequence[int] = ()
    grammar: str | None = None
    json_schema: Mapping[str, Any] | None = None
    logit_bias: Sequence[Sequence[Any]] | Mapping[str, float] | None = None
    ignore_eos: bool | None = None
    n_keep: int | None = None
    id_slot: int | None = None
    cache_prompt: bool | None = None
    timeout: float | None = None
    coalesce: bool = False
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
SplitMode = Literal["none", "layer", "row", "tensor"]
Environment = Mapping[str, str | None] | Sequence[tuple[str, str | None]]
RestartPolicy = Literal["on-failure", "never"]

_DURATION = re.compile(r"(-?\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(value: str | float, name: str) -> float:
    """Seconds of ``"30s"``, ``"10m"``, ``"1.5h"``, ``"600"`` or a number; negative: for ever.

    Raises:
        ConfigError: it is none of these.
    """
    found = _DURATION.fullmatch(str(value).strip().lower())
    if found is None or isinstance(value, bool):
        raise ConfigError(f'{name} takes seconds or "30s", "10m", "1h", -1; not {value!r}')
    seconds = float(found[1]) * _SECONDS[found[2] or "s"]
    return -1.0 if seconds < 0 else seconds


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
        require_gpu: what to do when the load log shows nothing on a GPU: ``True`` raises
            ``GpuNotUsed``, ``None`` warns where a GPU was asked for (``backend="rocm"``),
            ``False`` says nothing.
        devices: GPUs to use: each an index, UUID, PCI address or name as
            ``rocm_core.gpu.list_gpus`` shows them; empty for every card (see ``select_gpus``).
        split_mode: how several GPUs share a model: ``none``, ``layer``, ``row`` or ``tensor``;
            ``None`` for ``layer``.
        tensor_split: proportions of the model for each of several GPUs; empty for their free
            memory.
        main_gpu: with ``split_mode="none"``, the one to use, counted among the chosen ones.
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
        max_in_flight: most requests that this process has under way at the server at once;
            ``None``: as many as it has slots. Those above it wait in a fair queue.
        max_queue: most requests that wait there; one more raises ``ServerBusy``; ``None`` for
            no limit, as in the adapters: a batch of any size waits for its turn.
        queue_timeout: seconds a request waits there before it raises ``ServerBusy``; ``None``
            for no limit.
        keep_alive: how long the server outlives its last use: seconds, or ``"30s"``, ``"10m"``,
            ``"1h"``; -1 for ever. Programs of this user that ask for the same model and options
            share it. 0: private, and gone with this program.
        restart: ``"on-failure"``: the next request after a crash starts the server again, at
            most 5 times within 300 s; ``"never"``: it raises ``ServerDied``.
        extra_args: further arguments for llama-server, as they are.
        environment: variables for the server's process over those it inherits; ``None`` removes
            one. A mask of GPUs in here counts like one in this process's own environment.

    The three options of the queue say nothing about the server: configurations that differ in
    them alone are equal, and share one.
    """

    backend: str = "auto"
    engine: Engine = "auto"
    server_path: str | Path | None = None
    context_len: int = 0
    gpu_layers: int = -1
    require_gpu: bool | None = None
    devices: Sequence[int | str] = ()
    split_mode: SplitMode | None = None
    tensor_split: Sequence[float] = ()
    main_gpu: int | None = None
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
    max_in_flight: int | None = field(default=None, compare=False)
    max_queue: int | None = field(default=32, compare=False)
    queue_timeout: float | None = field(default=30.0, compare=False)
    keep_alive: str | float = 0.0
    restart: RestartPolicy = "on-failure"
    extra_args: Sequence[str] = ()
    environment: Environment = field(default=(), repr=False)

    def __post_init__(self) -> None:
        self._check_devices()
        changes = dict(self.environment)
        object.__setattr__(self, "environment", tuple((n, changes[n]) for n in sorted(changes)))
        for name in ("lora", "rpc_servers", "extra_args"):
            object.__setattr__(self, name, _as_tuple(getattr(self, name)))
        object.__setattr__(self, "keep_alive", parse_duration(self.keep_alive, "keep_alive"))
        if self.restart not in ("on-failure", "never"):
            raise ConfigError(f"restart must be 'on-failure' or 'never', not {self.restart!r}")
        if self.engine not in ("auto", "binary", "embedded"):
            raise ConfigError(f"engine must be 'auto', 'binary' or 'embedded', not {self.engine!r}")
        if self.engine == "embedded" and self.server_path is not None:
            raise ConfigError("server_path names a program; engine='embedded' runs none")
        if self.require_gpu and self.gpu_layers == 0:
            raise ConfigError("require_gpu=True and gpu_layers=0 exclude each other")
        for name, least in (
            ("context_len", 0),
            ("gpu_layers", -1),
            ("parallel", 1),
            ("threads", 1),
            ("batch_size", 1),
            ("ubatch_size", 1),
            ("port", 0),
            ("main_gpu", 0),
            ("max_in_flight", 1),
            ("max_queue", 0),
            ("queue_timeout", 0),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} must be {least} or more, not {value}")

    def _check_devices(self) -> None:
        devices = (self.devices,) if isinstance(self.devices, int) else _as_tuple(self.devices)
        object.__setattr__(self, "devices", devices)
        object.__setattr__(self, "tensor_split", _as_tuple(self.tensor_split))
        if self.split_mode is not None and self.split_mode not in get_args(SplitMode):
            known = ", ".join(get_args(SplitMode))
            raise ConfigError(f"split_mode must be one of {known}, not {self.split_mode!r}")
        shares = self.tensor_split
        numbers = all(isinstance(share, (int, float)) and share >= 0 for share in shares)
        if shares and not (numbers and any(shares)):
            raise ConfigError(f"tensor_split takes proportions such as (3, 1), not {shares}")


Api = Literal["auto", "openai", "native"]


@dataclass(frozen=True)
class RemoteConfig:
    """How to reach a server that somebody else runs.

    Attributes:
        api_key: sent as a bearer token; never shown.
        headers: further headers of every request, for a proxy in front of it; never shown.
        api: which endpoints to use: ``"openai"`` (``/v1/chat/completions`` and
            ``/v1/completions``), ``"native"`` (llama-server's ``/completion`` and
            ``/apply-template``), or ``"auto"``: what ``GET /v1/models`` says, asked once per
            base URL (404: native).
        ca_file: PEM file of certificates to trust instead of the system's.
        client_cert: PEM file of the certificate that we show, with its key, or with the key in
            ``client_key``.
        verify_tls: ``False`` trusts any certificate.
    """

    api_key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    api: Api = "auto"
    ca_file: str | Path | None = None
    client_cert: str | Path | None = None
    client_key: str | Path | None = None
    verify_tls: bool = True

    def __post_init__(self) -> None:
        if self.api not in ("auto", "openai", "native"):
            raise ConfigError(f"api must be 'auto', 'openai' or 'native', not {self.api!r}")
        if self.client_key is not None and self.client_cert is None:
            raise ConfigError("client_key needs client_cert")


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

    def of(self, config: GenerateConfig) -> Timeouts:
        """These limits, with the one that a call brings."""
        return self if config.timeout is None else replace(self, total=config.timeout)
