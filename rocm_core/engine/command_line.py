"""Map a ``LoadConfig`` to llama-server's command line and environment.

No I/O but for reading the model file's size and header. Flags: llama.cpp ``common/arg.cpp``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from rocm_core.config import LoadConfig, options_of
from rocm_core.discover.refs import ModelRef
from rocm_core.engine.embedded_server import PARENT_VARIABLE
from rocm_core.errors import ConfigError
from rocm_core.gguf import read_gguf

# A model with a smaller file is slower with more threads: they wait for each other.
_TINY_MODEL_BYTES = 64 * 1024 * 1024
# llama-server's flag for "all layers" that every build understands.
_ALL_LAYERS = "999"
# Options whose argument depends on more than their own value, and flags without an argument.
_COMPUTED = frozenset(
    {"context_len", "gpu_layers", "model_name", "parallel", "port", "prompt_cache", "threads"}
)
_BARE = ("embeddings", "rerank")
# Tokens: llama-server's default physical batch, the largest that we choose (it costs memory), and
# the context of a model that is still to be downloaded: a page of text should fit.
_DEFAULT_UBATCH, _MAX_INPUT, _PAGE = 512, 8192, 2048
# A request holds one of llama-server's HTTP threads until the client has read its last byte; a
# request without a thread waits, however many slots are free. By default there are four threads
# more than slots; cpp-httplib adds further ones (``ThreadPool::enqueue``), but counts a thread that
# was woken and does not run yet as idle, so that in a burst some requests get none. Idle threads
# are cheap: all together they take 1 to 5 MB.
_HTTP_THREADS = 128
# glibc returns a freed block of this size and more to the system at once (mallopt(3),
# M_MMAP_THRESHOLD). Left alone, its threshold rises to the size of the first prompt state that the
# prompt cache frees, states of other sizes fill the heap with holes, and a cache of at most 32 MiB
# made the server grow by 100 MiB within 240 prompts (b11434), by 47 with this. Larger than what a
# sampler may allocate for each token: 12 bytes for each of 262,144 words.
_ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(4 << 20)}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens: exactly one of a unix socket and a TCP port on 127.0.0.1.

    Attributes:
        socket: path of the socket.
        port: number of the port.
    """

    socket: Path | None = None
    port: int | None = None

    @property
    def arguments(self) -> list[str]:
        """llama-server's flags for this address."""
        if self.socket is not None:
            return ["--host", str(self.socket)]
        return ["--host", "127.0.0.1", "--port", str(self.port)]

    @property
    def url(self) -> str:
        """The base URL for an HTTP client; with a socket its host name is not resolved."""
        return "http://localhost" if self.socket else f"http://127.0.0.1:{self.port}"


def arguments(
    ref: ModelRef, config: LoadConfig, address: Address, flags: frozenset[str], cores: int
) -> list[str]:
    """Return the arguments for llama-server (or the embedded engine), without the program.

    Args:
        ref: the model.
        config: how to run it.
        address: where the server listens.
        flags: the flags that the engine understands (``Engine.flags``).
        cores: number of threads unless ``config.threads`` is set.

    Raises:
        ConfigError: an option needs a flag that this build does not have.
    """
    config = _with_whole_inputs(ref, config)
    args = ["-hf" if ref.kind == "hf" else "-m", ref.value, *address.arguments]
    args += ["--alias", config.model_name or ref.name]
    args += _gpu_layers(config, flags)
    args += _context(config)
    args += _prompt_cache(config, flags)
    args += ["-t", str(config.threads or _threads(ref, cores))]
    for flag, value in _declared(config):
        args += [_known(flag, flags), value]
    for name in _BARE:
        if getattr(config, name):
            args.append(_known(options_of(LoadConfig)[name].wire, flags))
    if config.require_gpu and "--log-verbosity" in flags:
        # Newer builds log only on this level what they put on the GPU.
        args += ["--log-verbosity", "4"]
    args += _optional_flags(flags)
    return [*args, *config.extra_args]


def _gpu_layers(config: LoadConfig, flags: frozenset[str]) -> list[str]:
    if config.gpu_layers == "auto":
        _known("--fit", flags)  # builds that fit the layers to the free memory do so unasked
        return []
    return ["-ngl", str(config.gpu_layers) if config.counts_gpu_layers else _ALL_LAYERS]


def _context(config: LoadConfig) -> list[str]:
    if config.parallel is None:
        return ["-c", str(config.context_len)] if config.context_len else []
    # With an explicit -np, llama-server divides -c among the slots.
    total = config.context_len * config.parallel
    return ["-np", str(config.parallel), *(["-c", str(total)] if total else [])]


def _prompt_cache(config: LoadConfig, flags: frozenset[str]) -> list[str]:
    # An unresolved auto is the build's own default (see ``prompt_cache.with_prompt_cache``), and a
    # build without the flag has no cache that could be off.
    if config.prompt_cache == "auto" or (not config.prompt_cache and "--cache-ram" not in flags):
        return []
    return [_known("--cache-ram", flags), str(int(config.prompt_cache) >> 20)]


def _with_whole_inputs(ref: ModelRef, config: LoadConfig) -> LoadConfig:
    # An input for embedding or reranking has to fit into one physical batch (llama-server: "input
    # is too large to process"), whose default is shorter than the context of most such models.
    if config.ubatch_size or not (config.embeddings or config.rerank):
        return config
    known = read_gguf(ref.value).context_length or 0 if ref.kind == "file" else _PAGE
    length = min(config.context_len or known, _MAX_INPUT)
    if length <= _DEFAULT_UBATCH:
        return config
    return replace(config, ubatch_size=length, batch_size=max(length, config.batch_size or 0))


def _threads(ref: ModelRef, cores: int) -> int:
    if ref.kind == "file" and Path(ref.value).stat().st_size < _TINY_MODEL_BYTES:
        return 1
    return cores


def _declared(config: LoadConfig) -> Iterator[tuple[str, str]]:
    """Yield flag and value of each option that goes to llama-server as it is declared."""
    for name, option in options_of(LoadConfig).items():
        value = getattr(config, name) if name not in (*_COMPUTED, *_BARE) else None
        if option.wire and value not in (None, ()):
            yield option.wire, _argument(value)


def _argument(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(_argument, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _known(flag: str, flags: frozenset[str]) -> str:
    if flag not in flags:
        raise ConfigError(
            f"this llama.cpp engine has no {flag}. Remove the option, or use another build "
            "(server_path=, engine='binary')."
        )
    return flag


def _optional_flags(flags: frozenset[str]) -> list[str]:
    args: list[str] = [flag for flag in ("--jinja", "--metrics") if flag in flags]
    if "--threads-http" in flags:
        args += ["--threads-http", str(_HTTP_THREADS)]
    for flag in ("--no-ui", "--no-webui"):
        if flag in flags:
            args.append(flag)
            break
    if "--log-colors" in flags:
        args += ["--log-colors", "off"]
    return args


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
        for name, value in inherited.items()
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
