"""The public face of a supervised llama-server: ``Server``, its states and its events.

Code outside of ``rocm_core`` imports from here; the rooms below are private.
"""

from typing import TYPE_CHECKING, Any

from rocm_core.engine.locate import Engine, find_engine
from rocm_core.server.runner import Server
from rocm_core.supervisor.events import (
    LoadProgress,
    LogLine,
    Restarting,
    ServerEvent,
    State,
    StateChanged,
)

if TYPE_CHECKING:
    from rocm_core.diagnosis import Failure, explain_failure

__all__ = [
    "Engine",
    "Failure",
    "LoadProgress",
    "LogLine",
    "Restarting",
    "Server",
    "ServerEvent",
    "State",
    "StateChanged",
    "explain_failure",
    "find_engine",
]


def __getattr__(name: str) -> Any:
    # The tables of known failures are for a server that failed; most programs never see one.
    if name in ("Failure", "explain_failure"):
        from rocm_core import diagnosis

        return getattr(diagnosis, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
