"""Devices of a Vulkan build and the kernel's GPUs: the same card, or nothing is claimed."""

from __future__ import annotations

from pathlib import Path

import pytest

from rocm_core.engine.gpu_placement import named_devices
from rocm_core.engine.probe import Device
from rocm_core.errors import ConfigError
from rocm_core.gpu import list_gpus
from rocm_core.gpu.vulkan import addresses, cards_of, is_software, match_device, other_card
from tests.support.gpu_trees import XTX, XTX_DRM, build
from tests.support.machine import Machine, run_on

XTX_NAME = "AMD Radeon RX 7900 XTX (RADV NAVI31)"


def two_xtx(root: Path) -> Path:
    """Two cards of one kind, at different addresses."""
    machine = Machine(root)
    machine.cpu(16)
    machine.gpu(XTX, XTX_DRM)
    second = XTX.replace("location_id 34304", "location_id 768").replace("minor 128", "minor 129")
    machine.gpu(second, {**XTX_DRM, "uevent": "DRIVER=amdgpu\nPCI_SLOT_NAME=0000:03:00.0"})
    return root


@pytest.mark.parametrize(
    ("name", "description", "mib", "found", "evidence"),
    [
        ("rx_7900_xtx", XTX_NAME, 24560, "AMD Radeon RX 7900 XTX", "same chip and name"),
        # Windows' driver and AMD's own name no chip; Mesa of some distributions no product.
        ("rx_7900_xtx", "AMD Radeon RX 7900 XTX", 24560, "AMD Radeon RX 7900 XTX", "same name"),
        ("rx_7900_xtx", "AMD Radeon Graphics (RADV NAVI31)", 24560, "AMD Radeon RX 7900 XTX", ""),
        ("rx_7800_xt_first", "AMD Radeon RX 7800 XT (RADV NAVI32)", 16368, "RX 7800 XT", "chip"),
        (
            "rx_7800_xt_first",
            "AMD Ryzen 9 9950X (RADV RAPHAEL_MENDOCINO)",
            16000,
            "AMD Radeon Graphics",
            "same chip",
        ),
        (
            "strix_halo_4_gb",
            "Radeon 8060S Graphics (RADV STRIX_HALO)",
            98304,
            "AMD Radeon 8060S Graphics",
            "same chip and name",
        ),
        ("strix_halo_4_gb", "Radeon 8060S Graphics (RADV GFX1151)", 98304, "8060S", "chip"),
        ("phoenix_780m", "AMD Radeon(TM) 780M", 30000, "AMD Radeon 780M Graphics", "same name"),
    ],
)
def test_a_device_is_the_gpu_of_the_same_chip_or_name(
    name: str, description: str, mib: int, found: str, evidence: str, tmp_path: Path
) -> None:
    match = match_device(description, mib, list_gpus(build(name, tmp_path)))
    assert match.gpu is not None
    assert found in match.gpu.name
    assert evidence in match.reason


@pytest.mark.parametrize(
    ("name", "description", "mib", "reason"),
    [
        ("rx_7900_xtx", "llvmpipe (LLVM 15.0.6, 256 bits)", 2048, "software device"),
        ("rx_7900_xtx", "NVIDIA GeForce RTX 4090", 24560, "no AMD GPU has the name or the chip"),
        ("rx_7900_xtx", "AMD Radeon RX 6600 (RADV NAVI23)", 8176, "no AMD GPU has the name"),
        ("no_gpu", XTX_NAME, 24560, "no AMD GPU"),
        ("mi210_pair", "AMD Instinct MI210 (RADV MI200)", 65520, "may be any of: GPU 0"),
    ],
)
def test_without_evidence_no_gpu_is_claimed(
    name: str, description: str, mib: int, reason: str, tmp_path: Path
) -> None:
    match = match_device(description, mib, list_gpus(build(name, tmp_path)))
    assert match.gpu is None
    assert reason in match.reason


def test_the_address_that_a_load_prints_tells_equal_cards_apart(tmp_path: Path) -> None:
    gpus = list_gpus(two_xtx(tmp_path))
    assert match_device(XTX_NAME, 24560, gpus).gpu is None
    log = [
        f"llama_prepare_model_devices: using device Vulkan0 ({XTX_NAME}) (0000:03:00.0) - 1 MiB",
        "llama_prepare_model_devices: using device Vulkan1 (llvmpipe (LLVM)) (unknown id) - 2 MiB",
    ]
    assert addresses(log) == {"Vulkan0": "0000:03:00.0"}
    match = match_device(XTX_NAME, 24560, gpus, "0000:03:00.0")
    assert match.gpu is gpus[1] and match.reason == "PCI address 0000:03:00.0"
    assert "no AMD GPUs at PCI" in match_device(XTX_NAME, 24560, gpus, "0000:99:00.0").reason


def test_a_software_device_is_told_by_its_name() -> None:
    assert is_software("llvmpipe (LLVM 15.0.6, 256 bits)")
    assert is_software("SwiftShader Device (Subzero)")
    assert not is_software(XTX_NAME)


# -- the same words for every back end ------------------------------------------------------


def vulkan(number: int, description: str, mib: int = 24560) -> Device:
    return Device(f"Vulkan{number}", "Vulkan", description, mib, mib)


@pytest.mark.parametrize("word", ["0000:86:00.0", "GPU-a1ffc9d1799c317f", "7900 XTX", "Vulkan1"])
def test_a_card_is_chosen_by_the_kernels_words_on_a_vulkan_build_too(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_on(build("rx_7900_xtx", tmp_path), monkeypatch)
    listed = [vulkan(0, "NVIDIA GeForce RTX 4090"), vulkan(1, "AMD Radeon Graphics (RADV NAVI31)")]
    assert named_devices([word], listed) == ["Vulkan1"]


def test_equal_cards_are_not_guessed_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_on(two_xtx(tmp_path), monkeypatch)
    listed = [vulkan(0, XTX_NAME), vulkan(1, XTX_NAME)]
    with pytest.raises(ConfigError, match=r"uncertain which device .*Give its own name.*Vulkan0"):
        named_devices(["0000:03:00.0"], listed)
    assert named_devices(["Vulkan1"], listed) == ["Vulkan1"]
    with pytest.raises(ConfigError, match="there is no GPU '0000:99:00.0'"):
        named_devices(["0000:99:00.0"], listed)


def test_a_load_on_vulkan_names_the_kernels_card(tmp_path: Path) -> None:
    log = [
        f"using device Vulkan0 ({XTX_NAME}) (0000:03:00.0) - 24000 MiB free",
        f"using device Vulkan1 ({XTX_NAME}) (unknown id) - 24000 MiB free",
        "using device Vulkan2 (another) (0000:99:00.0) - 8000 MiB free",
    ]
    second = list_gpus(two_xtx(tmp_path))[1]
    assert cards_of(log, list_gpus(tmp_path)) == {"Vulkan0": second.label}
    assert second.pci == "0000:03:00.0"


def test_a_load_is_on_the_card_that_was_named_or_on_another(tmp_path: Path) -> None:
    gpus = list_gpus(two_xtx(tmp_path))
    log = [f"using device Vulkan1 ({XTX_NAME}) (0000:03:00.0) - 24000 MiB free"]
    assert other_card(log, ["0000:03:00.0"], gpus) is None
    assert other_card(log, ["0000:86:00.0"], gpus) == (
        f"Vulkan1 is {gpus[1].label}, and devices names {gpus[0].label}"
    )
    assert other_card(["using device Vulkan1 (x) (unknown id)"], ["0000:86:00.0"], gpus) is None
    assert other_card(log, ["7900 XTX"], gpus) is None, "a name may mean any of them"
    assert other_card(log, [], gpus) is None
