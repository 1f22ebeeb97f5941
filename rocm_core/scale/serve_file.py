"""Write an application as a configuration file of Ray Serve, for ``serve deploy`` and KubeRay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import PurePath
from typing import Any

from rocm_core.config import LoadConfig
from rocm_core.errors import ConfigError
from rocm_core.scale.plan import Replicas

_IMPORT_PATH = "rocm_core.scale:app_from_args"


def deploy_config(
    models: Sequence[Replicas],
    *,
    key_digests: Sequence[str] = (),
    fronts: int = 1,
    host: str = "0.0.0.0",
    port: int = 8000,
) -> str:
    """Return the YAML of an application, with what differs from the defaults.

    Args:
        models: the models and their replicas.
        key_digests: SHA-256 digests of the API keys that clients may use.
        fronts: replicas of the front.
        host, port: where Ray's proxies listen, on every node.

    Raises:
        ConfigError: a load has an environment of its own: variables are often secrets, and a
            cluster has its own way to keep them.
    """
    import yaml

    if any(model.load.environment for model in models):
        raise ConfigError(
            "environment is not written into a configuration file, which is no place for secrets: "
            "set the variables on the nodes, or in the file's runtime_env"
        )
    args: dict[str, Any] = {"models": [_model(model) for model in models], "fronts": fronts}
    if key_digests:
        args["key_digests"] = list(key_digests)
    application = {
        "name": "llama-rocm",
        "route_prefix": "/",
        "import_path": _IMPORT_PATH,
        "args": args,
    }
    content = {
        # A client loses what goes through the proxy of a node that dies.
        "proxy_location": "HeadOnly" if fronts == 1 else "EveryNode",
        "http_options": {"host": host, "port": port},
        "applications": [application],
    }
    return str(yaml.safe_dump(content, sort_keys=False))


def _model(model: Replicas) -> dict[str, Any]:
    plain = Replicas(model.ref, name=model.name)
    given: dict[str, Any] = {"ref": model.ref, "name": model.name}
    for field in fields(Replicas):
        value = getattr(model, field.name)
        if field.name not in ("ref", "name", "load") and value != getattr(plain, field.name):
            given[field.name] = list(value) if isinstance(value, tuple) else value
    if load := _load(model.load):
        given["load"] = load
    return given


def _load(load: LoadConfig) -> dict[str, Any]:
    """Return the options that differ from their defaults; a model's name has its own place."""
    plain = LoadConfig()
    changed = {}
    for field in fields(LoadConfig):
        value = getattr(load, field.name)
        if field.name != "model_name" and value != getattr(plain, field.name):
            changed[field.name] = _plain(value)
    return changed


def _plain(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    return [_plain(part) for part in value] if isinstance(value, tuple) else value
