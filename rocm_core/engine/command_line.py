"""Map a ``LoadConfig`` to llama-server's command line and environment.

No I/O but for the model file's size and header, and the chat template's file. Flags: llama.cpp
``common/arg.cpp``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from rocm_core.config import LoadConfig, chosen_template, expanded, options_of
from rocm_core.config.values import FilePath
from rocm_core.discover.refs import ModelRef
from rocm_core.engine.embedded_server import PARENT_VARIABLE
from rocm_core.engine.embedded_start import python_environment
from rocm_core.errors import ConfigError, RocmError
from rocm_core.gguf import GGUFInfo, read_gguf
from rocm_core.memory.batch import whole_input

# A model with a smaller file is slower with more threads: they wait for each other.
_TINY_MODEL_BYTES = 64 * 1024 * 1024
# llama-server's flag for "all layers" that every build understands.
_ALL_LAYERS = "999"
# Options whose argument depends on more than their own value, and flags without an argument.
_COMPUTED = frozenset(
    {"context_len", "gpu_layers", "kv_unified_per_slot", "model_name", "parallel", "port"}
    | {"chat_template", "chat_template_file", "load_mode", "lora", "mmproj_device"}
    | {"prompt_cache", "threads"}
)
_BARE = ("embeddings", "rerank")
# Flags of builds without --load-mode.
_OLD_LOAD_MODES: Mapping[str, tuple[str, ...]] = {
    "auto": (),
    "none": ("--no-mmap",),
    "mmap": (),
    "mlock": ("--no-mmap", "--mlock"),
    "mmap+mlock": ("--mlock",),
    "dio": ("--direct-io",),
}
_ANOTHER = "another build (server_path=, engine='binary')"
# llama-server's names for ``prompt_cache``, in MiB.
CACHE_RAM = ("--cache-ram", "-cram")
_SPECULATIVE = ("--spec-type", "--spec-default")
# Bytes of one argument: Linux takes 32 pages of 4 KiB (MAX_ARG_STRLEN), with the final zero.
_MAX_ARGUMENT = 32 * 4096 - 1
# Tokens: llama-server's default physical batch, and the context of a model that is still to be
# downloaded: a page of text should fit.
_DEFAULT_UBATCH, _PAGE = 512, 2048
# A request holds one of llama-server's HTTP threads until the client has read its last byte; a
# request without a thread waits, however many slots are free. By default there are four threads
# more than slots; cpp-httplib adds further ones (``ThreadPool::enqueue``), but counts a thread that
# was woken and does not run yet as idle, so that in a burst some requests get none. Idle threads
# are cheap: all together they take 1 to 5 MB.
_HTTP_THREADS = 128
# Where threads are limited the server aborts if it cannot start one of them. Its other threads: for
# each request of a slot, for the log and for signals; half of the rest is left to others.
_OTHER_THREADS, _FEWEST_HTTP_THREADS = 16, 4
# glibc returns a freed block of this size and more to the system at once (mallopt(3),
# M_MMAP_THRESHOLD). Left alone, its threshold rises to the size of the first prompt state that the
# prompt cache frees, states of other sizes fill the heap with holes, and a cache of at most 32 MiB
# made the server grow by 100 MiB within 240 prompts (b11434), by 47 with this. Larger than what a
# sampler may allocate for each token: 12 bytes for each of 262,144 words.
_ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(4 << 20)}


LOOPBACK = "127.0.0.1"
# Listening on all addresses; a client on this machine takes the loopback one.
_REACHED_AT = {"0.0.0.0": LOOPBACK, "::": "::1"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens: exactly one of a unix socket and a TCP port.

    Attributes:
        socket: path of the socket.
        port: number of the port.
        host: the address that the port belongs to.
    """

    socket: Path | None = None
    port: int | None = None
    host: str = LOOPBACK

    @property
    def arguments(self) -> list[str]:
        """llama-server's flags for this address."""
        if self.socket is not None:
            return ["--host", str(self.socket)]
        return ["--host", self.host, "--port", str(self.port)]

    @property
    def url(self) -> str:
        """The base URL for an HTTP client here; with a socket its host name is not resolved."""
        if self.socket:
            return "http://localhost"
        host = _REACHED_AT.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


class Build(NamedTuple):
    """What the command line needs to know of the engine that gets it.

    Attributes:
        flags: the flags that it understands (``Engine.flags``).
        title: its name in messages (``Engine.title``).
        directory: a private directory for what is too long for a command line; ``None``: it
            stays there all the same.
        threads_left: how many threads may be started; ``None``: any number.
        engine_with: returns how to use an engine that has a flag, which this one lacks.
        splits_ranks: asks whether it computes inputs of causal rerankers in pieces.
    """

    flags: frozenset[str]
    title: str = "this llama.cpp engine"
    directory: Path | None = None
    threads_left: int | None = None
    engine_with: Callable[[str], str] = lambda _: _ANOTHER
    splits_ranks: Callable[[], bool] = lambda: False

    def known(self, flag: str, option: str) -> str:
        """Return ``flag``, which ``option`` needs.

        Raises:
            ConfigError: the engine does not have it.
        """
        if flag not in self.flags:
            raise ConfigError(
                f"{self.title} has no {flag}, which {option} needs. Remove {option}, or use "
                f"{self.engine_with(flag)}."
            )
        return flag


def arguments(
    ref: ModelRef, config: LoadConfig, address: Address, build: Build, cores: int
) -> list[str]:
    """Return the arguments for llama-server (or the embedded engine), without the program.

    Args:
        ref: the model.
        config: how to run it.
        address: where the server listens.
        build: what the engine understands.
        cores: number of threads unless ``config.threads`` is set.

    Raises:
        ConfigError: an option needs a flag that this build does not have, or the chat template
            is none.
    """
    config = _with_whole_inputs(ref, config, build)
    args = ["-hf" if ref.kind == "hf" else "-m", ref.value, *address.arguments]
    args += ["--alias", config.model_name or ref.name]
    args += _gpu_layers(config, build)
    args += _context(config, build)
    args += _prompt_cache(config, build)
    threads = config.threads or _threads(ref, cores)
    args += ["-t", str(threads)]
    for name, flag, value in _declared(config):
        args += [build.known(flag, name), value]
    for name in _BARE:
        if getattr(config, name):
            args.append(build.known(options_of(LoadConfig)[name].wire, name))
    args += [*_load_mode(config, build), *_lora(config, build), *_drafting(config, build)]
    args += _mmproj_device(config, build)
    if config.require_gpu and "--log-verbosity" in build.flags:
        # Newer builds log only on this level what they put on the GPU.
        args += ["--log-verbosity", "4"]
    args += _optional_flags(build.flags, _http_threads(build.threads_left, threads))
    args += _chat_template(config, build)  # its text is Jinja only after --jinja
    return [*args, *config.extra_args]


def _load_mode(config: LoadConfig, build: Build) -> list[str]:
    mode = config.load_mode
    if mode is None:
        return []
    if "--load-mode" in build.flags:
        return ["--load-mode", mode]
    # Builds before it have a flag for each part of it; mapping is their default.
    return [build.known(flag, "load_mode") for flag in _OLD_LOAD_MODES[mode]]


def _lora(config: LoadConfig, build: Build) -> list[str]:
    args = []
    for path in (str(Path(path).absolute()) for path, _ in config.lora_adapters):
        # llama.cpp reads a row of CSV (parse_csv_row in common/arg.cpp); all of the flags count.
        # The scales are set after the load: --lora-scaled cannot have a path with a colon.
        quoted = '"' + path.replace('"', '""') + '"' if set(path) & set(',"') else path
        args += [build.known("--lora", "lora"), quoted]
    return args


def _drafting(config: LoadConfig, build: Build) -> list[str]:
    # Newer builds load a draft model and leave it unused without a type (common/speculative.cpp).
    chosen = any(arg.split("=")[0] in _SPECULATIVE for arg in config.extra_args)
    if config.draft_model is None or chosen or "--spec-type" not in build.flags:
        return []
    return ["--spec-type", "draft-simple"]


def _mmproj_device(config: LoadConfig, build: Build) -> list[str]:
    device = config.mmproj_device
    if device is None:
        return []
    if device == "none" and "--mmproj-device" not in build.flags:
        return [build.known("--no-mmproj-offload", "mmproj_device='none'")]
    return [build.known("--mmproj-device", "mmproj_device"), device]


def _chat_template(config: LoadConfig, build: Build) -> list[str]:
    choice = chosen_template(config)
    if choice is None:
        return []
    if choice.name:
        # As Jinja every name but chatml would be the text of each prompt (common/chat.cpp).
        plain = ["--no-jinja"] if "--no-jinja" in build.flags else []
        return [*plain, build.known("--chat-template", "chat_template"), choice.name]
    path = choice.path
    long = len(choice.text.encode()) > _MAX_ARGUMENT
    if path is None and build.directory is not None and long:
        path = build.directory / "chat_template.jinja"
        path.write_text(choice.text, encoding="utf-8")
    if path is not None and "--chat-template-file" in build.flags:
        return ["--chat-template-file", str(path)]
    return [build.known("--chat-template", "chat_template"), choice.text]


def _gpu_layers(config: LoadConfig, build: Build) -> list[str]:
    if config.gpu_layers == "auto":
        # Builds that fit the layers to the free memory do so unasked.
        build.known("--fit", "gpu_layers='auto'")
        return []
    if config.counts_gpu_layers:
        return ["-ngl", str(config.gpu_layers)]
    # The word came before --load-mode. Like a number it ends --fit where the layers do not fit
    # (common/fit.cpp); only gpu_layers="auto" leaves their number to the build.
    return ["-ngl", "all" if "--load-mode" in build.flags else _ALL_LAYERS]


def _context(config: LoadConfig, build: Build) -> list[str]:
    if config.kv_unified_per_slot is not None:
        name = "kv_unified_per_slot"
        cap = [build.known("--kv-unified-per-slot", name), str(config.kv_unified_per_slot)]
        # Without an explicit -np the slots share a cache anyway.
        many = [] if config.parallel is None else ["-np", str(config.parallel)]
        shared = [build.known("--kv-unified", name)] if many else []
        whole = ["-c", str(config.context_len)] if config.context_len else []
        return [*many, *shared, *cap, *whole]
    if config.parallel is None:
        return ["-c", str(config.context_len)] if config.context_len else []
    # With an explicit -np, llama-server divides -c among the slots.
    total = config.context_len * config.parallel
    return ["-np", str(config.parallel), *(["-c", str(total)] if total else [])]


def _prompt_cache(config: LoadConfig, build: Build) -> list[str]:
    flag, size = CACHE_RAM[0], config.prompt_cache
    # An unresolved auto is the build's own default (see ``gpu_placement.with_prompt_cache``), and a
    # build without the flag has no cache that could be off.
    if size == "auto" or (not size and flag not in build.flags):
        return []
    return [build.known(flag, "prompt_cache"), str(int(size) >> 20)]


def _with_whole_inputs(ref: ModelRef, config: LoadConfig, build: Build) -> LoadConfig:
    if config.ubatch_size:
        return config
    info = _header(ref, needed=config.embeddings or config.rerank)
    length = whole_input(info, config, unknown=_PAGE, splits_ranks=build.splits_ranks)
    if length <= _DEFAULT_UBATCH:
        return config
    return replace(config, ubatch_size=length, batch_size=max(length, config.batch_size or 0))


def _header(ref: ModelRef, *, needed: bool) -> GGUFInfo | None:
    with nullcontext() if needed else suppress(RocmError):  # the server itself says what is wrong
        return read_gguf(ref.value) if ref.kind == "file" else None
    return None


def _threads(ref: ModelRef, cores: int) -> int:
    if ref.kind == "file" and Path(ref.value).stat().st_size < _TINY_MODEL_BYTES:
        return 1
    return cores


def _declared(config: LoadConfig) -> Iterator[tuple[str, str, str]]:
    """Yield name, flag and value of each option that goes to llama-server as it is declared."""
    for name, option in options_of(LoadConfig).items():
        value = getattr(config, name) if name not in (*_COMPUTED, *_BARE) else None
        if option.wire and value not in (None, ()):
            if isinstance(option.kind, FilePath):
                value = expanded(value).absolute()
            yield name, option.wire, _argument(value)


def _argument(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(_argument, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def check_cache_types(config: LoadConfig, known: Sequence[str]) -> None:
    """Raise unless the engine knows the types of the KV cache.

    Args:
        config: how to run the server.
        known: types that the engine takes (``Engine.cache_types``).

    Raises:
        ConfigError: ``cache_type_k`` or ``cache_type_v`` is none of them.
    """
    for name in ("cache_type_k", "cache_type_v"):
        value = getattr(config, name)
        if value is not None and value not in known:
            raise ConfigError(f"{name} is {value!r}; this engine knows {', '.join(known)}")


def _http_threads(left: int | None, computing: int) -> int:
    if left is None:
        return _HTTP_THREADS
    spare = (left - computing - _OTHER_THREADS) // 2
    return min(_HTTP_THREADS, max(_FEWEST_HTTP_THREADS, spare))


def _optional_flags(flags: frozenset[str], http_threads: int) -> list[str]:
    args: list[str] = [flag for flag in ("--jinja", "--metrics") if flag in flags]
    if "--threads-http" in flags:
        args += ["--threads-http", str(http_threads)]
    for flag in ("--no-ui", "--no-webui"):
        if flag in flags:
            args.append(flag)
            break
    if "--log-colors" in flags:
        args += ["--log-colors", "off"]
    return args


def prompt_cache_of(arguments: Sequence[str]) -> int | None:
    """Return the bound in bytes that a server's command line sets.

    ``None`` if it sets none: the build then has its own default.
    """
    for flag, value in reversed(list(pairwise(arguments))):
        if flag in CACHE_RAM and value.isdigit():
            return int(value) << 20
        if flag in CACHE_RAM:
            return None
    return None


def environment(
    inherited: Mapping[str, str],
    api_key: str,
    private_dir: Path,
    parent_pid: int,
    changes: Mapping[str, str | None] = MappingProxyType({}),
) -> dict[str, str]:
    """Return the environment of a server's process.

    llama-server reads options from ``LLAMA_ARG_*`` and configuration files; those of the caller
    are kept out. ``LLAMA_CACHE`` (where ``-hf`` keeps downloads) stays. The key is passed in the
    environment because every user of the machine can read a process's arguments. One setting of
    the allocator is added unless the caller has it.

    Args:
        inherited: this program's environment.
        api_key: the server's private key.
        private_dir: an empty configuration directory for the process.
        parent_pid: the process exits when this one dies (embedded engine).
        changes: ``LoadConfig.environment``; ``None`` deletes a variable.
    """
    env = {
        name: value
        for name, value in python_environment(inherited).items()
        if not name.startswith("LLAMA_") or name == "LLAMA_CACHE"
    }
    env = _ALLOCATOR | env
    for name, value in changes.items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    env["LLAMA_API_KEY"] = api_key
    env[PARENT_VARIABLE] = str(parent_pid)
    env["XDG_CONFIG_HOME"] = str(private_dir)
    # Child mode (llama.cpp tools/server/README-dev.md): the process prints load progress on
    # stdout and exits at the end of its stdin. Builds without it ignore the variable.
    env["LLAMA_SERVER_ROUTER_PORT"] = "0"
    return env
