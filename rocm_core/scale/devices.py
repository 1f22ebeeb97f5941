"""Which GPUs a replica's llama-server may see: those that Ray gave it, and no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rocm_core.config import LoadConfig
from rocm_core.errors import ConfigError
from rocm_core.gpu.masks import CUDA, HIP, ROCR

# ggml-vulkan.cpp: the indices of the devices that it uses.
_VULKAN = "GGML_VK_VISIBLE_DEVICES"
_NONE = "-1"


def with_devices(
    load: LoadConfig, gpus: float, given: Sequence[str], env: Mapping[str, str]
) -> LoadConfig:
    """Return ``load`` for a server that sees the GPUs that Ray assigned.

    Args:
        load: how to load the model.
        gpus: GPUs of the replica. Ray hides nothing from a replica with 0 of them.
        given: the ids that Ray assigned (``get_accelerator_ids()["GPU"]``).
        env: this process's environment, in which Ray sets HIP_VISIBLE_DEVICES
            (``ray/_private/accelerators/amd_gpu.py``).

    Raises:
        ConfigError: ``ROCR_VISIBLE_DEVICES`` alone is set, which Ray does not count with.
    """
    changes = dict(load.environment)
    if not gpus:
        masks: dict[str, str | None] = {HIP: _NONE, CUDA: _NONE, _VULKAN: ""}
        return replace(load, backend="cpu", environment=masks | changes)
    if ROCR in env and HIP not in env:
        raise ConfigError(
            f"{ROCR}={env[ROCR]} is set on this node without {HIP}: Ray counts GPUs by the latter. "
            f"Start Ray there with {HIP} instead."
        )
    if HIP in env or not given:
        return load
    # Ray found no AMD library, was told the number of GPUs, and set the variable of another vendor.
    return replace(load, environment={HIP: ",".join(given), **changes})
