"""Listing GPUs on recorded machines: what is told, what is left unknown, what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from rocm_core.gpu import Gpu, list_gpus
from rocm_core.gpu.kernel.kfd import gfx_name
from rocm_core.gpu.names import MarketingNames, build_covers, chip_is_integrated
from tests.support.gpu_trees import XTX, XTX_DRM, build, mi300x_cpx
from tests.support.machine import Machine

GIB = 1024**3


def listed(name: str, root: Path) -> list[Gpu]:
    return list_gpus(build(name, root))


@pytest.mark.parametrize(
    ("version", "name"),
    [
        (90000, "gfx900"),
        (90010, "gfx90a"),
        (90012, "gfx90c"),
        (90402, "gfx942"),
        (100306, "gfx1036"),
        (110000, "gfx1100"),
        (110501, "gfx1151"),
        (120001, "gfx1201"),
        (120500, "gfx1250"),
        (120501, "gfx1251"),
    ],
)
def test_minor_and_stepping_of_a_target_are_hex_digits(version: int, name: str) -> None:
    assert gfx_name(version) == name


@pytest.mark.parametrize("gfx", ["gfx1250", "gfx1251"])
def test_the_chips_of_instinct_mi400_are_cards_with_a_generic_target(gfx: str) -> None:
    assert chip_is_integrated(gfx, None) is False
    assert build_covers(["gfx12-5-generic"], gfx)
    assert not build_covers(["gfx12-generic", "gfx1201"], gfx)


def test_a_card_of_instinct_mi400_has_its_name() -> None:
    assert MarketingNames("/nowhere").find(0x75C1, 0, 256) == "AMD Instinct MI455X"


def test_a_card_with_everything_the_kernel_tells(tmp_path: Path) -> None:
    assert listed("rx_7900_xtx", tmp_path) == [
        Gpu(
            node=1,
            hip_index=0,
            name="AMD Radeon RX 7900 XTX",
            gfx="gfx1100",
            device_id=0x744C,
            compute_units=96,
            uuid="GPU-a1ffc9d1799c317f",
            pci="0000:86:00.0",
            partition=None,
            render_node="renderD128",
            kfd_id=None,
            integrated=False,
            integrated_reason="gfx1100 is a card",
            vram_total=24560 * 2**20,
            vram_used=None,
            gtt_total=None,
            gtt_used=None,
            memory_total=24560 * 2**20,
            memory_free=None,
            busy_percent=3,
            power_watts=68.0,
            temperature_c=53.0,
            problem=None,
        )
    ]


@pytest.mark.parametrize(
    ("name", "indices"),
    [
        ("rx_7800_xt_first", {"AMD Radeon RX 7800 XT": 0, "AMD Radeon Graphics": 1}),
        ("rx_7800_xt_second", {"AMD Radeon RX 7800 XT": 1, "AMD Radeon Graphics": 0}),
        ("rx_7800_xt_with_crossed_render_nodes", {"AMD Radeon RX 7800 XT": 0}),
    ],
)
def test_the_order_is_that_of_the_nodes_and_facts_come_through_the_render_node(
    name: str, indices: dict[str, int], tmp_path: Path
) -> None:
    gpus = {gpu.name: gpu for gpu in listed(name, tmp_path)}
    for product, index in indices.items():
        assert gpus[product].hip_index == index
    card, igpu = gpus["AMD Radeon RX 7800 XT"], gpus["AMD Radeon Graphics"]
    assert (card.pci, card.vram_total) == ("0000:03:00.0", 17163091968)
    assert (igpu.pci, igpu.vram_total) == ("0000:13:00.0", 536870912)
    assert card.memory_free == 17163091968 - 174 * 2**20
    assert card.uuid == "GPU-5c88007d760374f3"
    assert igpu.uuid is None, "0 is no identity"


def test_an_old_kernel_tells_less_and_still_enough(tmp_path: Path) -> None:
    (card,) = listed("rx_6900_xt_old_kernel", tmp_path)
    assert (card.name, card.gfx) == ("AMD Radeon RX 6900 XT", "gfx1030")
    assert card.integrated is False, "board_info is absent, as on APUs of newer kernels"
    assert card.memory_free == 17163091968 - 668274688
    (vega,) = listed("vega10_old_kernel", tmp_path / "vega")
    assert (vega.gfx, vega.pci, vega.compute_units) == ("gfx900", "0000:19:00.0", 64)
    assert (vega.vram_total, vega.vram_used) == (17163091968, 14102528)
    assert vega.busy_percent is None


def test_cpus_count_as_nodes_and_not_as_gpus(tmp_path: Path) -> None:
    assert [(gpu.node, gpu.hip_index) for gpu in listed("mi210_pair", tmp_path)] == [
        (2, 0),
        (3, 1),
    ]


def test_partitions_of_a_card_share_its_address_and_identity(tmp_path: Path) -> None:
    gpus = listed("mi308x_partitions", tmp_path)
    assert [gpu.partition for gpu in gpus] == [0, 1, 2, 3]
    assert {gpu.pci for gpu in gpus} == {"0000:0a:00.0"}
    assert {gpu.uuid for gpu in gpus} == {"GPU-084cafeae17e7696"}
    assert {(gpu.vram_total, gpu.vram_used) for gpu in gpus} == {(51539607552, 2907979776)}
    assert {gpu.compute_units for gpu in gpus} == {20}
    assert all("partition" in gpu.label for gpu in gpus)


def test_eight_cards_of_eight_partitions(tmp_path: Path) -> None:
    mi300x_cpx(Machine(tmp_path), cards=8)
    gpus = list_gpus(tmp_path)
    assert [gpu.hip_index for gpu in gpus] == list(range(64))
    assert len({gpu.pci for gpu in gpus}) == 8


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("strix_halo_512_mb", 103079215104),  # the GTT
        ("strix_halo_4_gb", 103079215104),  # the GTT: llama.cpp says 98304 MiB there
        ("strix_halo_96_gb", 103079215104),  # the carve-out
        ("phoenix_780m", 31433977856),  # the GTT
    ],
)
def test_an_apu_allocates_from_the_larger_of_carve_out_and_gtt(
    name: str, total: int, tmp_path: Path
) -> None:
    (apu,) = listed(name, tmp_path)
    assert apu.integrated is True
    assert apu.memory_total == total
    if name == "strix_halo_96_gb":
        assert apu.memory_free == 103079215104 - 21563965440
        assert apu.gtt_total == 16363954176


def test_the_systems_free_memory_bounds_what_an_apu_can_have(tmp_path: Path) -> None:
    build("phoenix_780m", tmp_path)
    Machine(tmp_path).write("proc/meminfo", "MemTotal: 61000000 kB\nMemAvailable:  1000000 kB")
    assert list_gpus(tmp_path)[0].memory_free == 1000000 * 1024


def test_mi300a_is_an_apu_though_its_target_is_that_of_cards(tmp_path: Path) -> None:
    apus = listed("mi300a", tmp_path)
    assert [apu.pci for apu in apus] == [f"000{n}:02:00.0" for n in range(4)]
    assert all(apu.integrated and apu.name == "AMD Instinct MI300A" for apu in apus)


def test_no_gpu_and_no_driver(tmp_path: Path) -> None:
    assert listed("no_gpu", tmp_path) == []
    assert list_gpus(tmp_path / "nowhere") == []


def test_a_masked_node_is_left_out_and_the_others_count_on(tmp_path: Path) -> None:
    (gpu,) = listed("masked_node", tmp_path)
    assert (gpu.node, gpu.hip_index) == (2, 0)


def test_a_gpu_without_render_node_is_listed_and_not_counted(tmp_path: Path) -> None:
    igpu, card = listed("one_of_two_render_nodes", tmp_path)
    assert igpu.hip_index is None
    assert igpu.problem is not None
    assert "--device /dev/dri" in igpu.problem
    assert card.hip_index == 0


def test_nothing_in_a_file_breaks_the_listing(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.gpu("simd_count 4;simd_per_cu;gfx_target_version x;location_id 1 2;drm_render_minor 9")
    machine.gpu("simd_count 4;vendor_id 4318;drm_render_minor 128")  # not AMD's
    drm = dict(XTX_DRM) | {"mem_info_vram_total": "many", "unique_id": "\0x", "uevent": "?"}
    machine.gpu(XTX.replace("unique_id 1", "no_id 1"), drm)
    first, second = list_gpus(tmp_path)
    assert (first.gfx, first.pci, first.compute_units) == (None, None, None)
    assert (second.vram_total, second.uuid) == (None, None)
    assert second.pci == "0000:86:00.0", "from the node, where uevent is silent"


def test_sensors_of_a_sleeping_card_are_left_alone(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.gpu(XTX, dict(XTX_DRM) | {"power/runtime_status": "suspended"})
    (card,) = list_gpus(tmp_path)
    assert (card.busy_percent, card.power_watts, card.temperature_c) == (None, None, None)
    assert card.vram_total == 24560 * 2**20


UNKNOWN_CHIP = (
    "simd_count 8;simd_per_cu 2;gfx_target_version 130000;device_id 39321;drm_render_minor 128"
)


@pytest.mark.parametrize(
    ("files", "integrated", "reason"),
    [
        ({"board_info": "type : cem"}, False, "board_info"),
        ({"mem_info_vram_vendor": "hynix"}, False, "made by hynix"),
        ({"mem_info_vram_vendor": "unknown"}, None, "nothing tells"),
        ({"mem_info_vram_total": 2**29, "mem_info_gtt_total": 2**34}, True, "little memory"),
        ({"mem_info_vram_total": 2**34, "mem_info_gtt_total": 2**34}, None, "nothing tells"),
    ],
)
def test_a_chip_nobody_knows_is_judged_by_what_the_kernel_shows(
    files: dict[str, object], integrated: bool | None, reason: str, tmp_path: Path
) -> None:
    Machine(tmp_path).gpu(UNKNOWN_CHIP, files or {"device": "0x9999"})
    (gpu,) = list_gpus(tmp_path)
    assert gpu.integrated is integrated
    assert reason in gpu.integrated_reason
    assert gpu.gfx == "gfx1300"


def test_names_come_from_libdrm_where_it_is_installed(tmp_path: Path) -> None:
    build("rx_7900_xtx", tmp_path)
    ids = (
        "# List of AMDGPU IDs\n1.0.0\n744C,\tC8,\tAMD Radeon RX 7900 XTX of libdrm\n744C,\t00,\tno"
    )
    Machine(tmp_path).write("usr/share/libdrm/amdgpu.ids", ids)
    assert list_gpus(tmp_path)[0].name == "AMD Radeon RX 7900 XTX of libdrm"


def test_one_device_id_two_cards(tmp_path: Path) -> None:
    """0x747e is the RX 7800 XT and the RX 7700 XT; without a revision the units tell."""
    for simds, name in ((120, "AMD Radeon RX 7800 XT"), (108, "AMD Radeon RX 7700 XT")):
        root = tmp_path / str(simds)
        Machine(root).gpu(
            f"simd_count {simds};simd_per_cu 2;gfx_target_version 110001;device_id 29822"
        )
        assert list_gpus(root)[0].name == name


def test_a_name_of_the_cards_own_wins(tmp_path: Path) -> None:
    Machine(tmp_path).gpu(XTX, dict(XTX_DRM) | {"product_name": "Board 7"})
    assert list_gpus(tmp_path)[0].name == "Board 7"
    assert list_gpus(tmp_path)[0].vram_total == 24560 * 2**20 < 24 * GIB


@pytest.mark.parametrize(
    ("name", "shared"),
    [
        ("rx_7900_xtx", False),
        ("strix_halo_512_mb", True),
        ("strix_halo_96_gb", False),  # the firmware took its memory away from the host
        ("phoenix_780m", True),
    ],
)
def test_whose_memory_a_gpu_uses(name: str, shared: bool, tmp_path: Path) -> None:
    assert [gpu.uses_host_memory for gpu in listed(name, tmp_path)] == [shared]
