"""The doctor's machine part: recorded machines, and what their permissions lack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rocm_core.doctor import run_doctor, worst
from rocm_core.gpu import list_gpus, select_gpus
from rocm_core.types import Check
from tests.support.doctor import by_name, write
from tests.support.gpu_trees import MACHINES, build


def examine(name: str, tmp_path: Path, **options: Any) -> dict[str, Check]:
    return by_name(run_doctor(build(name, tmp_path), **options))


@pytest.mark.parametrize("name", sorted(MACHINES))
def test_a_recorded_machine_is_described_and_no_failure_lacks_its_remedy(
    tmp_path: Path, name: str
) -> None:
    root = build(name, tmp_path)
    checks = run_doctor(root)
    assert [c.name for c in checks] == [
        "kernel_driver",
        "kfd",
        "gpus",
        "gpu_choice",
        "gpu_environment",
    ]
    assert all(c.remedy for c in checks if c.status in ("failed", "warning"))
    usable = select_gpus(list_gpus(root), env={})
    assert (worst(checks) == "failed") == (not usable)
    for gpu in usable:
        assert gpu.label in by_name(checks)["gpu_choice"].detail


def test_the_integrated_gpu_beside_a_card_is_named_with_the_reason(tmp_path: Path) -> None:
    choice = examine("rx_7800_xt_first", tmp_path)["gpu_choice"]
    assert choice.status == "ok"
    assert "7800 XT" in choice.detail
    assert "not GPU 1" in choice.detail
    assert "there is a card" in choice.detail


def test_allow_cpu_softens_a_machine_without_a_gpu(tmp_path: Path) -> None:
    root = build("no_gpu", tmp_path)
    assert worst(run_doctor(root)) == "failed"
    assert worst(run_doctor(root, allow_cpu=True)) == "warning"


def test_a_container_without_render_node_gets_the_flags(tmp_path: Path) -> None:
    gpus = examine("without_render_node", tmp_path)["gpus"]
    assert gpus.status == "failed"
    assert "--device /dev/dri" in gpus.remedy


def test_one_of_two_render_nodes_is_a_warning(tmp_path: Path) -> None:
    found = examine("one_of_two_render_nodes", tmp_path)
    assert found["gpus"].status == "warning"
    assert found["gpu_choice"].status == "ok"


def driver(root: Path) -> Check:
    return by_name(run_doctor(root))["kernel_driver"]


def test_a_driver_that_is_not_loaded(tmp_path: Path) -> None:
    write(tmp_path, "sys/bus/pci/devices/0000:03:00.0/vendor", "0x1002\n")
    write(tmp_path, "sys/bus/pci/devices/0000:03:00.0/class", "0x030000\n")
    write(tmp_path, "sys/bus/pci/devices/0000:01:00.0/vendor", "0x1022\n")
    found = driver(tmp_path)
    assert found.status == "failed"
    assert "not loaded" in found.detail
    assert "0000:03:00.0" in found.detail
    assert "modprobe amdgpu" in found.remedy


def test_no_amd_card_at_all(tmp_path: Path) -> None:
    write(tmp_path, "sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n")
    write(tmp_path, "sys/bus/pci/devices/0000:01:00.0/class", "0x030000\n")
    found = by_name(run_doctor(tmp_path))
    assert "no AMD card" in found["kernel_driver"].detail
    assert [found[n].status for n in ("kfd", "gpus", "gpu_choice")] == ["skipped"] * 3


@pytest.mark.parametrize(
    ("path", "content"),
    [("dev/dxg", ""), ("proc/sys/kernel/osrelease", "5.15.167.4-microsoft-standard-WSL2\n")],
)
def test_wsl(tmp_path: Path, path: str, content: str) -> None:
    write(tmp_path, path, content)
    found = driver(tmp_path)
    assert "WSL" in found.detail
    assert "librocdxg" in found.remedy


def test_the_drivers_version_or_the_kernels(tmp_path: Path) -> None:
    write(tmp_path, "sys/module/amdgpu/version", "6.16.13\n")
    assert driver(tmp_path).detail == "amdgpu version 6.16.13"
    (tmp_path / "sys/module/amdgpu/version").unlink()
    write(tmp_path, "proc/sys/kernel/osrelease", "6.17.0-14-generic\n")
    assert driver(tmp_path).detail == "amdgpu of Linux 6.17.0-14-generic"


@pytest.mark.parametrize(
    ("marker", "words"), [("run/.containerenv", "--device /dev/kfd"), ("etc/x", "dmesg")]
)
def test_no_kfd_is_told_apart_in_a_container(tmp_path: Path, marker: str, words: str) -> None:
    root = build("rx_7900_xtx", tmp_path)
    (root / "dev/kfd").unlink()
    write(root, marker)
    kfd = by_name(run_doctor(root))["kfd"]
    assert kfd.status == "failed"
    assert words in kfd.remedy


@pytest.mark.parametrize(
    ("container", "groups", "words"),
    [
        (True, [], "--group-add"),
        (False, [], "usermod -aG"),
        (False, None, "chmod g+rw"),
    ],
)
def test_no_permission_for_kfd(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    container: bool,
    groups: list[int] | None,
    words: str,
) -> None:
    root = build("rx_7900_xtx", tmp_path)
    if container:
        write(root, ".dockerenv")
    mine = [(root / "dev/kfd").stat().st_gid] if groups is None else groups
    monkeypatch.setattr("os.getgroups", lambda: mine)
    monkeypatch.setattr("os.access", lambda path, mode: not str(path).endswith("/dev/kfd"))
    monkeypatch.setattr("rocm_core.doctor.machine._is_listed", lambda group: False)
    kfd = by_name(run_doctor(root))["kfd"]
    assert kfd.detail == "no permission for /dev/kfd"
    assert words in kfd.remedy


def test_a_new_member_of_the_group_must_log_in_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = build("rx_7900_xtx", tmp_path)
    monkeypatch.setattr("os.getgroups", list)
    monkeypatch.setattr("os.access", lambda path, mode: not str(path).endswith("/dev/kfd"))
    monkeypatch.setattr("rocm_core.doctor.machine._is_listed", lambda group: True)
    assert "log out and in again" in by_name(run_doctor(root))["kfd"].remedy


def test_masks_in_force_are_told(tmp_path: Path) -> None:
    env = {"HIP_VISIBLE_DEVICES": "1", "HSA_OVERRIDE_GFX_VERSION_1": "10.3.0", "HOME": "/x"}
    found = examine("rx_7800_xt_first", tmp_path, env=env)["gpu_environment"]
    assert "HIP_VISIBLE_DEVICES=1" in found.detail
    assert "HSA_OVERRIDE_GFX_VERSION_1=10.3.0" in found.detail
    assert "HOME" not in found.detail


def test_a_mask_that_hides_everything_fails_the_choice(tmp_path: Path) -> None:
    found = examine("rx_7900_xtx", tmp_path, env={"ROCR_VISIBLE_DEVICES": ""})
    assert found["gpu_choice"].status == "failed"
    assert "ROCR_VISIBLE_DEVICES" in found["gpu_choice"].remedy
    assert found["gpu_environment"].status == "warning"
