"""Software devices: Vulkan drivers that compute on the CPU (Mesa's llvmpipe, SwiftShader).

They make a GPU build run anywhere, far slower than the CPU itself, so one is used only when it is
named: ``devices=["llvmpipe"]``. ggml-vulkan hides them unless GGML_VK_VISIBLE_DEVICES names their
index among all of the loader's devices (ggml-vulkan.cpp, ``ggml_vk_instance_init``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rocm_core.engine.locate import Engine
from rocm_core.engine.probe import Device, capabilities
from rocm_core.gpu.vulkan import is_software

VISIBLE = "GGML_VK_VISIBLE_DEVICES"
# Devices of one loader that are asked, one after the other.
_MOST = 8
_index: dict[object, str | None] = {}


def names_software(devices: Sequence[int | str]) -> bool:
    """Return whether one of ``devices`` is the name of a software device."""
    return any(is_software(str(device)) for device in devices)


def asks_for_software(devices: Sequence[int | str], env: Mapping[str, str]) -> bool:
    """Return whether a software device may be used: it is named, or shown and chosen by number.

    Args:
        devices: the option ``devices``.
        env: environment of the engine's process.
    """
    return names_software(devices) or bool(devices and env.get(VISIBLE))


def software_devices(devices: Sequence[Device]) -> tuple[Device, ...]:
    """Return the software devices among those that an engine lists."""
    return tuple(device for device in devices if device.software)


def showing_software(
    engine: Engine, devices: Sequence[int | str], env: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables with which ``engine`` shows the software device that is named.

    Empty if none is named, if the user's own variable shows one, or if there is none. Runs the
    engine once for each device of the Vulkan loader, at most 8 times, once per program.

    Args:
        engine: a Vulkan build.
        devices: the option ``devices``.
        env: environment of the engine's process.
    """
    if not names_software(devices) or env.get(VISIBLE):
        return {}
    key = (engine.argv, env.get("VK_DRIVER_FILES"), env.get("VK_ICD_FILENAMES"))
    if key not in _index:
        _index[key] = _find(engine, env)
    index = _index[key]
    return {} if index is None else {VISIBLE: index}


def _find(engine: Engine, env: Mapping[str, str]) -> str | None:
    for index in map(str, range(_MOST)):
        listed = capabilities(engine, {**env, VISIBLE: index}).devices
        if software_devices(listed):
            return index
        if not listed:
            return None  # "Invalid device index": there are no more
    return None
