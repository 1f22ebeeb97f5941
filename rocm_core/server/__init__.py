"""Floor 3: one llama-server process: find → command → start → ready → watch → stop."""

from rocm_core.server.diagnosis import Failure, explain_failure
from rocm_core.server.find import Engine, find_engine
from rocm_core.server.supervisor import Server, State

__all__ = ["Engine", "Failure", "Server", "State", "explain_failure", "find_engine"]
