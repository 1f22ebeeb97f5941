"""A replica's server sees the GPUs that Ray gave it, and no other."""

from __future__ import annotations

import pytest

from rocm_core import LoadConfig
from rocm_core.errors import ConfigError
from rocm_core.scale.devices import with_devices
from rocm_core.scale.ray_package import check_gpus, check_haproxy


def test_without_a_gpu_every_gpu_is_hidden() -> None:
    load = with_devices(LoadConfig(), 0, [], {"HIP_VISIBLE_DEVICES": "0,1"})
    assert load.backend == "cpu"
    assert dict(load.environment) == {
        "HIP_VISIBLE_DEVICES": "-1",
        "CUDA_VISIBLE_DEVICES": "-1",
        "GGML_VK_VISIBLE_DEVICES": "",
    }


def test_what_ray_set_is_left_alone() -> None:
    load = LoadConfig(parallel=2)
    assert with_devices(load, 1, ["1"], {"HIP_VISIBLE_DEVICES": "1"}) == load


def test_a_number_told_to_ray_becomes_the_variable_of_rocm() -> None:
    load = with_devices(LoadConfig(), 1, ["1"], {"CUDA_VISIBLE_DEVICES": "1"})
    assert dict(load.environment) == {"HIP_VISIBLE_DEVICES": "1"}


def test_a_lone_rocr_variable_is_refused() -> None:
    with pytest.raises(ConfigError, match="HIP_VISIBLE_DEVICES"):
        with_devices(LoadConfig(), 1, ["0"], {"ROCR_VISIBLE_DEVICES": "0"})


def test_a_cluster_without_gpus_says_how_ray_sees_them() -> None:
    with pytest.raises(ConfigError, match="amdsmi"):
        check_gpus(1.0, {"CPU": 8.0})
    check_gpus(1.0, {"GPU": 1.0})
    check_gpus(0.0, {})


def test_haproxy_keeps_to_no_loopback_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "1")
    with pytest.raises(ConfigError, match="all interfaces"):
        check_haproxy(loopback=True)
    check_haproxy(loopback=False)
    monkeypatch.delenv("RAY_SERVE_ENABLE_HA_PROXY")
    check_haproxy(loopback=True)
