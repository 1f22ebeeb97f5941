"""``LoadConfig`` to a command line and an environment.

Pure. Flags: llama.cpp ``common/arg.cpp``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rocm_core.config import LoadConfig
from rocm_core.errors import ConfigError
from rocm_core.refs import ModelRef
from rocm_core.server.embedded import PARENT_VARIABLE

# Below this file size a model is so small that threads only wait for each other.
_TINY_MODEL_BYTES = 64 * 1024 * 1024
# llama-server's flag for "all layers" that every build understands.
_ALL_LAYERS = "999"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens: a unix socket, or a TCP port on loopback."""

    socket: Path | None = None
    port: int | None = None

    @property
    def arguments(self) -> list[str]:
        """llama-server's flags for it."""
        if self.socket is not None:
            return ["--host", str(self.socket)]
        return ["--host", "127.0.0.1", "--port", str(self.port)]

    @property
    def url(self) -> str:
        """For an HTTP client; with a socket the host is a mere name."""
        return "http://localhost" if self.socket else f"http://127.0.0.1:{self.port}"


def arguments(
    ref: ModelRef, config: LoadConfig, address: Address, flags: frozenset[str], cores: int
) -> list[str]:
    """The arguments for llama-server (or the embedded engine), without the program.

    Raises:
        ConfigError: an option needs a flag that this build does not have.
    """
    args = ["-hf" if ref.kind == "hf" else "-m", ref.value, *address.arguments]
    args += ["--alias", config.model_name or ref.name]
    args += ["-ngl", _ALL_LAYERS if config.gpu_layers < 0 else str(config.gpu_layers)]
    args += _context(config)
    args += ["-t", str(config.threads or _threads(ref, cores))]
    for value, flag in _valued(config):
        if value is not None:
            args += [_known(flag, flags), str(value)]
    for on, flag in ((config.embeddings, "--embeddings"), (config.rerank, "--rerank")):
        if on:
            args.append(_known(flag, flags))
    args += _niceties(flags)
    return [*args, *config.extra_args]


def _context(config: LoadConfig) -> list[str]:
    if config.parallel is None:
        return ["-c", str(config.context_len)] if config.context_len else []
    # With an explicit -np, llama-server divides -c among the slots.
    total = config.context_len * config.parallel
    return ["-np", str(config.parallel), *(["-c", str(total)] if total else [])]


def _threads(ref: ModelRef, cores: int) -> int:
    if ref.kind == "file" and Path(ref.value).stat().st_size < _TINY_MODEL_BYTES:
        return 1
    return cores


def _valued(config: LoadConfig) -> list[tuple[object, str]]:
    flash = None if config.flash_attn is None else ("on" if config.flash_attn else "off")
    return [
        (config.batch_size, "-b"),
        (config.ubatch_size, "-ub"),
        (flash, "-fa"),
        (config.cache_type_k, "-ctk"),
        (config.cache_type_v, "-ctv"),
        (",".join(map(str, config.lora)) or None, "--lora"),
        (config.mmproj, "--mmproj"),
        (config.draft_model, "-md"),
        (config.chat_template, "--chat-template"),
        (config.pooling, "--pooling"),
        (",".join(config.rpc_servers) or None, "--rpc"),
    ]


def _known(flag: str, flags: frozenset[str]) -> str:
    if flag not in flags:
        raise ConfigError(
            f"this llama.cpp engine has no {flag}. Remove the option, or use another build "
            "(server_path=, engine='binary')."
        )
    return flag


def _niceties(flags: frozenset[str]) -> list[str]:
    args: list[str] = [flag for flag in ("--jinja", "--metrics") if flag in flags]
    for flag in ("--no-ui", "--no-webui"):
        if flag in flags:
            args.append(flag)
            break
    if "--log-colors" in flags:
        args += ["--log-colors", "off"]
    return args


def environment(
    inherited: Mapping[str, str], api_key: str, private_dir: Path, parent_pid: int
) -> dict[str, str]:
    """The child's environment.

    llama-server reads options from ``LLAMA_ARG_*`` and config files; none of the caller's may
    leak in. ``LLAMA_CACHE`` (where ``-hf`` keeps downloads) stays. The key goes this way
    because an argument is visible to every user of the machine.
    """
    env = {
        name: value
        for name, value in inherited.items()
        if not name.startswith("LLAMA_") or name == "LLAMA_CACHE"
    }
    env["LLAMA_API_KEY"] = api_key
    env[PARENT_VARIABLE] = str(parent_pid)
    env["XDG_CONFIG_HOME"] = str(private_dir)
    # Child mode (llama.cpp tools/server/README-dev.md): load progress on stdout, and the end
    # of stdin ends the process. Builds without it ignore the variable.
    env["LLAMA_SERVER_ROUTER_PORT"] = "0"
    return env
