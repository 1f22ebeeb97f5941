"""Floor 3: one llama-server process: find → command → start → ready → watch → stop."""

from rocm_core.server.diagnosis import Failure, explain_failure
from rocm_core.server.find import Engine, find_engine
from rocm_core.server.state import (
    LoadProgress,
    LogLine,
    Restart,
    ServerEvent,
    State,
    StateChanged,
)
from rocm_core.server.supervisor import Server

__all__ = [
    "Engine",
    "Failure",
    "LoadProgress",
    "LogLine",
    "Restart",
    "Server",
    "ServerEvent",
    "State",
    "StateChanged",
    "explain_failure",
    "find_engine",
]
