"""The public face of a supervised llama-server: ``Server``, its states and its events.

Code outside of ``rocm_core`` imports from here; the rooms below are private.
"""

from rocm_core.diagnosis import Failure, explain_failure
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
