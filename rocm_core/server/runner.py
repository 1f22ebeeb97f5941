"""Choose who owns a server's process: this program, or a daemon that outlives it.

The only module that knows both: ``keep_alive`` chooses the handles that the supervisor is given.
"""

from __future__ import annotations

from rocm_core.config import LoadConfig, Timeouts
from rocm_core.discover.refs import ModelRef
from rocm_core.gpu.vram_release import VramUsed, vram_used
from rocm_core.supervisor.handle import HandleFactory
from rocm_core.supervisor.owned_process import OwnedServer
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
        crashes: CrashHistory | None = None,
        vram_used: VramUsed = vram_used,
    ) -> None:
        """Args:
            ref: a file or a download (see ``rocm_core.discover.refs.resolve_ref``).
            config: how to run the server; default: ``LoadConfig()``.
            timeouts: limits of its clients' requests, in seconds.
            crashes: how often the server may be restarted; default: 5 times within 300 s.
            vram_used: reads the bytes of VRAM in use; a restart waits until the dead process's
                memory is free again.

        Raises:
            ConfigError: ``ref`` is a URL, so there is nothing to start.
        """
        config = config or LoadConfig()
        super().__init__(
            ref,
            config,
            timeouts,
            handle_factory=_handle_factory(config),
            crashes=crashes,
            vram_used=vram_used,
        )


def _handle_factory(config: LoadConfig) -> HandleFactory:
    if not config.keep_alive:
        return OwnedServer
    # Seven modules that a program without shared servers does not need.
    from rocm_core.shared.lease import SharedServerLease

    return SharedServerLease
