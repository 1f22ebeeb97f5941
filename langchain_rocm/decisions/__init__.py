"""``RocmDecisions``: a LangChain decision model on llama.cpp.

    state, questions ─conversion/decisions.py─▶ TextModel.decide ─▶ ClassifierResponse

langchain-core has decision models since 1.8. With an older one ``RocmDecisions`` can be imported,
and says at its first use what to install.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_rocm.decisions.model import RocmDecisions
else:
    try:
        import langchain_core.decisions  # noqa: F401
    except ImportError:

        class RocmDecisions:
            """A decision model; this langchain-core has no place for it."""

            def __init__(self, *args: Any, **options: Any) -> None:
                from langchain_core.version import VERSION

                raise ImportError(
                    "RocmDecisions needs decision models, which langchain-core has since 1.8 "
                    f"(installed: {VERSION}): pip install -U 'langchain-core>=1.8'. Without it: "
                    "rocm_core.load_model(…).decide(…)."
                )
    else:
        from langchain_rocm.decisions.model import RocmDecisions

__all__ = ["RocmDecisions"]
