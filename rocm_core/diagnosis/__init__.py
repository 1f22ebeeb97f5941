"""What a server's log means: why the server failed, what helps, whether it uses a GPU. Pure."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rocm_core.diagnosis.explain import explain_failure
    from rocm_core.diagnosis.failure import Alternative, Failure

__all__ = ["Alternative", "Failure", "explain_failure"]


def __getattr__(name: str) -> Any:
    # The tables are for a server that failed; a start that succeeds does not pay for them.
    if name in ("Alternative", "Failure"):
        from rocm_core.diagnosis import failure

        return getattr(failure, name)
    if name == "explain_failure":
        from rocm_core.diagnosis.explain import explain_failure

        return explain_failure
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
