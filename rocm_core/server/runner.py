"""Choose who owns a server's process: this program, or a daemon that outlives it.

The only module that knows both: ``keep_alive`` chooses the handles that the supervisor is given.
"""

from __future__ import annotations

from rocm_core.config import LoadConfig, Timeouts
from rocm_core.config.load import is_loopback
from rocm_core.discover.refs import ModelRef
from rocm_core.engine.command_line import LOOPBACK
from rocm_core.engine.locate import Engine
from rocm_core.errors import ConfigError
from rocm_core.gpu.vram_release import VramUsed, vram_used
from rocm_core.supervisor.handle import HandleFactory, HandleOwner, ServerHandle
from rocm_core.supervisor.restart_policy import CrashHistory
from rocm_core.supervisor.server import OWN_TIMEOUTS, SupervisedServer


class Server(SupervisedServer):
    """A supervised llama-server, private to this program or shared with others.

    Constructing it starts nothing. Thread-safe. A private server ends with ``stop()``, with this
    program, or with this program's death. With ``LoadConfig.keep_alive`` the server belongs to a
    daemon that outlives this program: ``start()`` acquires a lease, ``stop()`` releases it.
    """

    def __init__(
        self,
        ref: ModelRef,
        config: LoadConfig | None = None,
        timeouts: Timeouts = OWN_TIMEOUTS,
        *,
        host: str = LOOPBACK,
        api_key: str | None = None,
        crashes: CrashHistory | None = None,
        vram_used: VramUsed = vram_used,
    ) -> None:
        """Args:
            ref: a file or a download (see ``rocm_core.discover.refs.resolve_ref``).
            config: how to run the server; default: ``LoadConfig()``.
            timeouts: limits of its clients' requests, in seconds.
            host: the address to listen on, with ``config.port``; any but a loopback address lets
                other machines in, and takes an ``api_key``.
            api_key: the key that the server demands; ``None``: a random one.
            crashes: how often the server may be restarted; default: 5 times within 300 s.
            vram_used: reads the bytes of VRAM in use; a restart waits until the dead process's
                memory is free again.

        Raises:
            ConfigError: ``ref`` is a URL, so there is nothing to start; ``host`` lets other
                machines in without an ``api_key``; either is given with ``keep_alive``.
        """
        config = config or LoadConfig()
        _check_access(config, host, api_key)
        super().__init__(
            ref,
            config,
            timeouts,
            handle_factory=_handle_factory(config, host, api_key),
            crashes=crashes,
            vram_used=vram_used,
        )


def _handle_factory(config: LoadConfig, host: str, api_key: str | None) -> HandleFactory:
    if not config.keep_alive:
        return _OwnedAt(host, api_key)
    # What one kind of server needs, a program with the other does not import.
    from rocm_core.shared.lease import SharedServerLease

    return SharedServerLease


class _OwnedAt:
    """Makes owned servers that listen on one host, with one key."""

    owns_process = True

    def __init__(self, host: str, key: str | None) -> None:
        self._host, self._key = host, key

    def __call__(
        self,
        ref: ModelRef,
        config: LoadConfig,
        engine: Engine,
        timeouts: Timeouts,
        owner: HandleOwner,
    ) -> ServerHandle:
        from rocm_core.supervisor.owned_process import OwnedServer

        return OwnedServer(ref, config, engine, timeouts, owner, host=self._host, key=self._key)


def _check_access(config: LoadConfig, host: str, api_key: str | None) -> None:
    if config.keep_alive and (host != LOOPBACK or api_key is not None):
        raise ConfigError(
            "a server that keep_alive holds listens on this machine alone, with a key of its own: "
            "leave out host and api_key, or keep_alive"
        )
    if not is_loopback(host) and api_key is None:
        raise ConfigError(
            f"host={host!r} lets other machines in: give an API key of your choice (api_key=; to "
            "llama-rocm serve with --api-key-file or --api-key-env)"
        )
    # llama-server takes several keys with commas between them (--api-key, common/arg.cpp).
    if api_key is not None and (not api_key or "," in api_key or not api_key.isprintable()):
        raise ConfigError("an API key is one line of text without commas")
