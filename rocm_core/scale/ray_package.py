"""Import Ray, or say what is missing: the only place outside of Ray's processes that does."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from rocm_core.errors import BackendUnavailable, ConfigError

INSTALL = 'pip install "llama-rocm[ray]"'
# Ray Serve's switch to HAProxy in place of its own proxies (serve/_private/constants.py). Ray reads
# whether it is "1".
_HAPROXY = "RAY_SERVE_ENABLE_HA_PROXY"


def import_serve() -> Any:
    """Return the module ``ray.serve``.

    Raises:
        BackendUnavailable: the extra ``ray`` is missing, or what Ray imports breaks it here.
    """
    if importlib.util.find_spec("ray") is None:
        raise BackendUnavailable(f"replicas need Ray Serve, which is not installed: {INSTALL}")
    try:
        from ray import serve
    except Exception as error:
        # Ray imports amdsmi wherever it is installed, and that package loads ROCm's library at
        # import (ray/_private/thirdparty/pyamdsmi).
        if _has_amdsmi() and not _imports("amdsmi"):
            raise BackendUnavailable(
                f"Ray cannot be imported because the package amdsmi fails here ({error}): it needs "
                "ROCm's own library. Install ROCm on this machine, or remove the package where "
                "there is no GPU: pip uninstall amdsmi"
            ) from error
        raise BackendUnavailable(f"Ray Serve cannot be imported ({error}): {INSTALL}") from error
    return serve


def check_gpus(gpus: float, cluster: dict[str, float]) -> None:
    """Raise unless the cluster has a GPU, as Ray counts them, for a replica that asks for one.

    Args:
        gpus: GPUs of one replica.
        cluster: the resources of all nodes (``ray.cluster_resources()``).

    Raises:
        ConfigError: Ray sees fewer GPUs.
    """
    seen = cluster.get("GPU", 0.0)
    if not gpus or seen >= gpus:
        return
    why = (
        "Ray sees AMD GPUs only with the package amdsmi, which is not installed here: install the "
        "one that comes with ROCm (pip install /opt/rocm/share/amd_smi), on every node"
        if not _has_amdsmi()
        else "check that amdsmi is installed on every node, and what HIP_VISIBLE_DEVICES hides"
    )
    raise ConfigError(
        f"a replica asks for {gpus:g} GPUs, and Ray sees {seen:g} in the cluster: {why}; or tell "
        "Ray their number (ray start --num-gpus=N). Without GPUs: gpus_per_replica=0."
    )


def check_haproxy(loopback: bool) -> None:
    """Raise if Ray is told to use HAProxy, which does not keep to a loopback address.

    Raises:
        ConfigError: its switch is set, and only this machine is to be let in.
    """
    if loopback and os.environ.get(_HAPROXY) == "1":
        raise ConfigError(
            f"{_HAPROXY}=1: HAProxy listens on all interfaces, whatever address it is given. Unset "
            "the variable, or let other machines in on purpose (host='0.0.0.0', with API keys)."
        )


def _has_amdsmi() -> bool:
    return importlib.util.find_spec("amdsmi") is not None


def _imports(name: str) -> bool:
    try:
        importlib.import_module(name)
    except Exception:
        return False
    return True
