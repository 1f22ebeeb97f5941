"""What a server's log means: why the server failed, what helps, whether it uses a GPU. Pure."""

from rocm_core.diagnosis.explain import Failure, explain_failure

__all__ = ["Failure", "explain_failure"]
