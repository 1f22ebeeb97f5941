"""Devices of a real Vulkan build: listed, chosen by name and index; software only if asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rocm_core import LoadConfig, Server, load_model, resolve_ref
from rocm_core.backend import server_config
from rocm_core.engine.installed.choice import explain_choice, process_environment
from rocm_core.engine.installed.software import VISIBLE, showing_software
from rocm_core.engine.locate import find_engine
from rocm_core.engine.probe import capabilities, gpu_access
from rocm_core.errors import BackendUnavailable, ConfigError, GpuNotUsed
from tests.vulkan.loads import LLVMPIPE, TWO, answer_of, config_of, loaded, use_of


def test_the_build_tells_what_it_has(wheel: Path) -> None:
    engine = find_engine("binary", wheel)
    access = gpu_access(engine)
    assert (access.by_kfd, access.by_itself) == (False, ("Vulkan",))
    assert {"--device", "--list-devices", "-ts", "-sm", "--fit"} <= engine.flags()


def test_the_software_device_is_hidden_until_it_is_named(wheel: Path) -> None:
    engine, env = find_engine("binary", wheel), process_environment(LoadConfig())
    assert not [device for device in capabilities(engine, env).devices if device.software]
    shown = showing_software(engine, LLVMPIPE, env)
    able = capabilities(engine, {**env, **shown})
    (device,) = able.devices
    assert device.software
    assert device.backend == "Vulkan"
    assert "llvmpipe" in device.description
    assert able.state == "no_device"  # of GPUs


def test_two_devices_of_one_driver(wheel: Path) -> None:
    env = {**process_environment(LoadConfig()), **TWO}
    listed = capabilities(find_engine("binary", wheel), env).devices
    assert [device.name for device in listed] == ["Vulkan0", "Vulkan1"]


def test_the_engine_that_has_the_device_is_chosen(wheel: Path) -> None:
    found = explain_choice(LoadConfig(devices=LLVMPIPE))
    assert found.engine.argv == (str(wheel),)
    assert "only one" in found.reason or "software device that was asked for" in found.reason


@pytest.mark.parametrize("device", ["llvmpipe", "Vulkan0", 0])
def test_a_device_by_name_and_index(wheel: Path, device: int | str) -> None:
    shown = {} if device == "llvmpipe" else {VISIBLE: "0"}
    options: dict[str, Any] = {"devices": (device,), "environment": shown, "require_gpu": True}
    with loaded(server_path=wheel, **options) as server:
        assert list(use_of(server).buffers) == ["Vulkan0"]
        assert answer_of(server)


def test_the_second_of_two_devices(wheel: Path) -> None:
    with loaded(server_path=wheel, devices=(1,), environment=TWO, require_gpu=True) as server:
        assert list(use_of(server).buffers) == ["Vulkan1"]


def test_a_device_that_is_not_there(wheel: Path) -> None:
    with pytest.raises(ConfigError, match="no GPU 2 for this engine. It lists: Vulkan0 llvmpipe"):
        server_config(resolve_ref("demo"), config_of(devices=(2,), environment=TWO))


@pytest.mark.parametrize("shown", [{}, {VISIBLE: "0"}])
def test_nobody_gets_the_software_device_unasked(wheel: Path, shown: dict[str, str]) -> None:
    options: dict[str, Any] = {"server_path": wheel, "environment": shown}
    assert server_config(resolve_ref("demo"), LoadConfig(**options)).backend == "cpu"
    with pytest.raises(BackendUnavailable, match="software device|sees no device"):
        load_model("demo", require_gpu=True, **options)


def test_a_load_that_found_only_a_software_device_is_refused(wheel: Path) -> None:
    options: dict[str, Any] = {"backend": "rocm", "devices": (), "environment": {VISIBLE: "0"}}
    server = Server(resolve_ref("demo"), config_of(server_path=wheel, require_gpu=True, **options))
    with pytest.raises(GpuNotUsed, match="Vulkan0 is llvmpipe.*computes on the CPU. Remedy"):
        server.start()
    server.stop()
