"""``LoadConfig``: how to load a model and run its server."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from rocm_core.config.option import documented, expanded, option, read_options
from rocm_core.config.placement import Placement
from rocm_core.config.values import (
    Choice,
    Duration,
    FilePath,
    Pairs,
    Several,
    Size,
    Switch,
    Text,
    TextOrPath,
    Whole,
)
from rocm_core.errors import ConfigError

# llama.cpp --load-mode (common/arg.cpp).
LoadMode = Literal["auto", "none", "mmap", "mlock", "mmap+mlock", "dio"]
LazyMode = Literal["auto", "on", "off"]
Environment = Mapping[str, str | None] | Sequence[tuple[str, str | None]]
RestartPolicy = Literal["on-failure", "never"]
FlashAttention = bool | Literal["auto"]

_TOKENS, _SECONDS = "tokens", "seconds"
_MIB = 1 << 20  # the unit of --cache-ram
# llama.cpp --cache-type-k (common/arg.cpp); which of them a build takes is for the build to say.
CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
_UNQUANTIZED = (None, *CACHE_TYPES[:3])
_TYPES = f"{', '.join(CACHE_TYPES[:-1])} or {CACHE_TYPES[-1]}"

# path:scale; what follows the colon is a number.
_SCALED = r"(.+):([-+]?(?:\d+\.?\d*|\.\d+))"


@documented
@dataclass(frozen=True)
class LoadConfig(Placement):
    """How to load a model and run its server.

    The three options of the queue (``max_in_flight``, ``max_queue``, ``queue_timeout``) say nothing
    about the server: configurations that differ in them alone are equal, and share one.

    Raises:
        ConfigError: a value is of the wrong kind or out of range, or two options exclude each
            other.
    """

    parallel: int | None = option(
        None,
        Whole(1),
        "Slots with a context of their own each; None: 4 slots that share one KV cache of "
        "context_len tokens.",
        unit="slots",
        wire="-np",
        example="4",
    )
    kv_unified_per_slot: int | None = option(
        None,
        Whole(1),
        "Slots that share one KV cache, with at most so many tokens each: one conversation may be "
        "longer than its share while others are short. context_len is then the whole cache (0: "
        "room for every slot); None: with parallel every slot has a cache of its own.",
        unit=_TOKENS,
        wire="--kv-unified-per-slot",
        example="16k",
    )
    load_mode: LoadMode | None = option(
        None,
        Choice(*get_args(LoadMode)),
        "How the model's file gets into memory: mmap (mapped), none (read), mlock and mmap+mlock "
        "(kept from being swapped out), dio (read past the page cache) or auto; None: the build's "
        "own default. The flags --no-mmap, --mlock and -dio of older builds in one option.",
        wire="--load-mode",
        example="mmap",
    )
    lazy_mode: LazyMode | None = option(
        None,
        Choice(*get_args(LazyMode)),
        "Weights of which a token needs a few rows (embeddings per layer): on reads them from the "
        "file when they are needed, off keeps them in memory, auto: on above 4 GiB; None: the "
        "build's own default.",
        wire="--lazy-mode",
        example="auto",
    )
    threads: int | None = option(
        None,
        Whole(1),
        "CPU threads; None: by physical cores and model size.",
        wire="-t",
        example="8",
    )
    batch_size: int | None = option(
        None,
        Whole(1),
        "Logical batch of prefill; None: llama-server's.",
        unit=_TOKENS,
        wire="-b",
        example="2048",
    )
    ubatch_size: int | None = option(
        None,
        Whole(1),
        "Physical batch of prefill; None: llama-server's, or a whole input for embedding, "
        "reranking and some decision models.",
        unit=_TOKENS,
        wire="-ub",
        example="512",
    )
    flash_attn: FlashAttention | None = option(
        None,
        Switch("auto"),
        "Flash attention: on, off, or auto; None: not sent, the build's own default.",
        wire="-fa",
        example="auto",
    )
    cache_type_k: str | None = option(
        None,
        Text(),
        f"Type of the KV cache's keys: {_TYPES}; None: f16.",
        wire="-ctk",
        example="q8_0",
    )
    cache_type_v: str | None = option(
        None,
        Text(),
        f"Type of the KV cache's values: {_TYPES}; None: f16. A quantized one needs flash "
        "attention.",
        wire="-ctv",
        example="q8_0",
    )
    prompt_cache: int | str = option(
        "auto",
        Size(off=0, auto="auto"),
        "Most host memory for the state of prompts that left their slot, so that a conversation "
        "that comes back is not computed again: a size, off, or auto: what 16 prompts that fill "
        "their context take, at most 4 GiB and 1/8 of the memory available at start (1/16 if the "
        "model lies there too: CPU, APU).",
        wire="--cache-ram",
        example="512M",
    )
    lora: Sequence[str | Path] = option(
        (),
        Several(FilePath(), "a list of paths, each with :scale behind it if that is not 1"),
        "LoRA adapter files, each as path or path:scale; with a scale of 0 it is loaded and off.",
        wire="--lora",
        example="/srv/lora/one.gguf,/srv/lora/two.gguf:0.5",
    )
    mmproj: str | Path | None = option(
        None,
        FilePath(),
        "File of the multimodal projector.",
        wire="--mmproj",
        example="/srv/models/mmproj.gguf",
    )
    mmproj_device: str | None = option(
        None,
        Text(),
        "The GPU for the projector, by the name that the build lists (Vulkan0), or none for the "
        "CPU; None: the first GPU.",
        wire="--mmproj-device",
        example="none",
    )
    draft_model: str | Path | None = option(
        None,
        FilePath(),
        "GGUF of a draft model for speculative decoding; its vocabulary must be the model's.",
        wire="-md",
        example="/srv/models/draft.gguf",
    )
    chat_template: str | Path | None = option(
        None,
        TextOrPath(),
        "What replaces the model's chat template: Jinja text, the path of a file of it, or the "
        "name of a template that llama.cpp has built in (llama-server --help lists them).",
        wire="--chat-template",
        example="chatml",
    )
    chat_template_file: str | Path | None = option(
        None,
        FilePath(),
        "File of Jinja text that replaces the model's chat template.",
        wire="--chat-template-file",
        example="/srv/templates/mine.jinja",
    )
    embeddings: bool = option(
        False,
        Switch(),
        "Serve /v1/embeddings (with pooling of the model, or as given).",
        wire="--embeddings",
        in_adapters=False,
    )
    pooling: str | None = option(
        None,
        Choice("none", "mean", "cls", "last", "rank"),
        "How token vectors become one: none, mean, cls, last or rank; None: the model's own.",
        wire="--pooling",
        in_adapters=False,
        example="mean",
    )
    rerank: bool = option(False, Switch(), "Serve /v1/rerank.", wire="--rerank", in_adapters=False)
    rpc_servers: Sequence[str] = option(
        (),
        Several(Text(), "a list of addresses, host:port"),
        "Addresses of llama.cpp RPC workers, host:port (fragile, never on open networks).",
        wire="--rpc",
        example="127.0.0.1:50052",
    )
    allow_insecure_rpc: bool = option(
        False,
        Switch(),
        "rpc_servers may name other machines: their port lets whoever reaches it run code there, "
        "and nothing is encrypted.",
    )
    model_name: str | None = option(
        None,
        Text(),
        "The name that requests carry and the server shows; a router or proxy with several models "
        "needs it. None: the file's name, or nothing for a remote server.",
        wire="--alias",
        setting=False,
    )
    port: int | None = option(
        None,
        Whole(0),
        "TCP port on loopback, 0 for a free one; None: a private unix socket.",
        wire="--port",
        example="8081",
    )
    stall_timeout: float = option(
        120.0,
        Duration(),
        "Time without any sign of progress after which loading has failed. Requests to a loaded "
        "server of our own end after the same time without a sign of life (CPU time, memory, log, "
        "GET /health), for example of one that was stopped with SIGSTOP.",
        unit=_SECONDS,
        example="2m",
    )
    max_in_flight: int | None = option(
        None,
        Whole(1),
        "Most requests that this process has under way at the server at once; None: as many as it "
        "has slots. Those above it wait in a fair queue.",
        compare=False,
        unit="requests",
        example="4",
    )
    max_queue: int | None = option(
        32,
        Whole(0),
        "Most requests that wait there; one more raises ServerBusy. None: no limit, as in the "
        "adapters, where a batch of any size waits for its turn.",
        compare=False,
        nullable=True,
        adapter_default=None,
        unit="requests",
    )
    queue_timeout: float | None = option(
        30.0,
        Duration(),
        "Time that a request waits there before it raises ServerBusy; None: no limit, as in the "
        "adapters.",
        compare=False,
        nullable=True,
        adapter_default=None,
        unit=_SECONDS,
    )
    media_root: str | Path | None = option(
        None,
        FilePath(),
        "Directory below which a user's message may name image and audio files (file:///…); None: "
        "a message opens no file.",
        compare=False,
        example="/srv/pictures",
    )
    media_max_size: int = option(
        20 << 20, Size(), "Longest file that is opened so.", compare=False, unit="bytes"
    )
    keep_alive: str | float = option(
        0.0,
        Duration(endless=True),
        "How long the server outlives its last use; -1: forever. Programs of this user that ask "
        "for the same model and options share it. 0: private, and gone with this program.",
        unit=_SECONDS,
        example="10m",
    )
    restart: RestartPolicy = option(
        "on-failure",
        Choice(*get_args(RestartPolicy)),
        "on-failure: the next request after a crash starts the server again, at most 5 times "
        "within 300 s; never: it raises ServerDied.",
    )
    extra_args: Sequence[str] = option(
        (),
        Several(Text(), "a list of arguments"),
        "Further arguments for llama-server, as they are.",
        flag="extra-arg",
        example="--no-warmup",
    )
    environment: Environment = option(
        (),
        Pairs(none=True),
        "Variables for the server's process over those it inherits; None removes one. A mask of "
        "GPUs in here counts like one in this process's own environment.",
        repr=False,
        adapter_default=None,
        secret=True,
        flag="env",
        example='{"HSA_OVERRIDE_GFX_VERSION": "11.0.0"}',
    )

    @property
    def lora_adapters(self) -> tuple[tuple[str, float], ...]:
        """Path and scale of each of ``lora``; ``~`` stands for the home directory."""
        return tuple(map(_adapter, self.lora))

    def check_rpc_servers(self) -> None:
        """Raise if a worker is on another machine and nobody has said that this is unsafe.

        llama.cpp's own README of its RPC server: "proof-of-concept", "fragile and insecure", "Never
        run the RPC server on an open network" (tools/rpc/README.md).

        Raises:
            ConfigError: an address is no loopback one, and ``allow_insecure_rpc`` is not set.
        """
        for address in self.rpc_servers:
            host = address.strip().rpartition(":")[0].strip("[]")
            if not self.allow_insecure_rpc and not is_loopback(host):
                raise ConfigError(
                    f"rpc_servers: {address} is on another machine. llama.cpp calls its RPC "
                    'workers "fragile and insecure": whoever reaches the port can run code there, '
                    "and nothing is encrypted. On a network that is yours alone, say so with "
                    "allow_insecure_rpc=True."
                )

    def __post_init__(self) -> None:
        read_options(self)
        changes = dict(self.environment)
        object.__setattr__(self, "environment", tuple((n, changes[n]) for n in sorted(changes)))
        if self.engine == "embedded" and self.server_path is not None:
            raise ConfigError("server_path names a program; engine='embedded' runs none")
        if self.prompt_cache != "auto" and 0 < int(self.prompt_cache) < _MIB:
            raise ConfigError(
                f"prompt_cache must be 'off', 'auto', or 1M or more (a number counts bytes), not "
                f"{self.prompt_cache}"
            )
        if self.require_gpu and self.gpu_layers == 0:
            raise ConfigError("require_gpu=True and gpu_layers=0 exclude each other")
        if self.flash_attn is False and self.cache_type_v not in _UNQUANTIZED:
            # llama.cpp src/llama-context.cpp; keys may be quantized without it.
            raise ConfigError(
                f"cache_type_v={self.cache_type_v!r} and flash_attn=False exclude each other: "
                "quantized values need flash attention. Leave flash_attn out, or use "
                "cache_type_v='f16'."
            )
        if self.tensor_split and not any(self.tensor_split):
            raise ConfigError(
                f"tensor_split takes proportions such as (3, 1), not {self.tensor_split}"
            )
        if self.chat_template is not None and self.chat_template_file is not None:
            raise ConfigError("chat_template and chat_template_file exclude each other; give one")


def is_loopback(host: str) -> bool:
    """Return whether nobody outside of this machine reaches ``host``."""
    import ipaddress  # a millisecond, for the few who give an address

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _adapter(value: str | Path) -> tuple[str, float]:
    """Return path and scale of ``path[:scale]``; a ``Path`` object has no scale."""
    found = re.fullmatch(_SCALED, value, re.DOTALL) if isinstance(value, str) else None
    path, scale = (found[1], float(found[2])) if found else (value, 1.0)
    return str(expanded(path)), scale
