"""One model on many machines: replicas on Ray Serve, behind one OpenAI-compatible address.

    proxy (Ray Serve) ──▶ front (ASGI) ──lease──▶ replica: Server ──▶ llama-server
                             └──────────── HTTP: the request, the stream ────▶─┘

Ray places the replicas, watches, replaces and scales them, and routes; this room adds what knows
llama-server. Ray is imported when an application is built, never before (extra ``ray``).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rocm_core.scale.app import app_from_args, build_app, run_app, stop_app
    from rocm_core.scale.plan import Replicas
    from rocm_core.scale.serve_file import deploy_config

__all__ = ["Replicas", "app_from_args", "build_app", "deploy_config", "run_app", "stop_app"]

_HOMES = {
    "Replicas": "plan",
    "app_from_args": "app",
    "build_app": "app",
    "deploy_config": "serve_file",
    "run_app": "app",
    "stop_app": "app",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
