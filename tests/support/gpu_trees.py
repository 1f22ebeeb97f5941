"""Recorded machines, laid out as ``/sys``, ``/dev`` and ``/proc`` below a root of their own.

No value is invented: the comment of each machine names the public records it is made of. Where
one record lacks the half of a machine, another record of the same card fills it ("joined").
Names of PCI revisions are libdrm's, data/amdgpu.ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support.machine import Files, Machine

# tinygrad, test/mockgpu/amd/amdgpu.py (a 7900 XTX's node), joined with LACT,
# tests/snapshots/amd/rx7900xtx (sensors) and ggml-org/llama.cpp#23934 (24560 MiB).
XTX = (
    "cpu_cores_count 0;simd_count 192;mem_banks_count 1;max_waves_per_simd 16;lds_size_in_kb 64;"
    "wave_front_size 32;array_count 12;simd_arrays_per_engine 2;cu_per_simd_array 8;"
    "simd_per_cu 2;gfx_target_version 110000;vendor_id 4098;device_id 29772;location_id 34304;"
    "domain 0;drm_render_minor 128;hive_id 0;num_cp_queues 8;max_engine_clk_fcompute 2482;"
    "local_mem_size 0;fw_version 2140;unique_id 11673270660693242239;num_xcc 1"
)
XTX_DRM: Files = {
    "uevent": "DRIVER=amdgpu\nPCI_CLASS=30000\nPCI_ID=1002:744C\nPCI_SLOT_NAME=0000:86:00.0",
    "device": "0x744c",
    "revision": "0xc8",
    "mem_info_vram_total": 24560 * 2**20,
    "gpu_busy_percent": 3,
    "hwmon/hwmon8/name": "amdgpu",
    "hwmon/hwmon8/power1_average": 68000000,
    "hwmon/hwmon8/temp1_input": 53000,
}


def rx_7900_xtx(machine: Machine) -> None:
    machine.cpu(16)
    machine.gpu(XTX, XTX_DRM)


# LACT, tests/snapshots/amd/rx7800xt, joined with gpustack/runtime's sample of that card (16368
# MiB, 174 in use, UUID GPU-5c88007d760374f3); 60 compute units.
RX_7800_XT = (
    "cpu_cores_count 0;simd_count 120;simd_per_cu 2;wave_front_size 32;array_count 6;"
    "gfx_target_version 110001;vendor_id 4098;device_id 29822;location_id 768;domain 0;"
    "drm_render_minor 128;unique_id 6667579787172869363;unknown_future_property 99"
)
RX_7800_XT_DRM: Files = {
    "uevent": "DRIVER=amdgpu\nPCI_CLASS=30000\nPCI_ID=1002:747E\nPCI_SLOT_NAME=0000:03:00.0",
    "device": "0x747e",
    "revision": "0xc8",
    "mem_info_vram_total": 17163091968,
    "mem_info_vram_used": 174 * 2**20,
    "mem_info_vram_vendor": "samsung",
    "gpu_busy_percent": 2,
    "hwmon/hwmon4/power1_average": 32000000,
    "hwmon/hwmon4/temp1_input": 24000,
}
# Umio-Yasuno/amdgpu_top, docs/sample.json (a Ryzen 9000 desktop's iGPU).
RYZEN_IGPU = (
    "cpu_cores_count 0;simd_count 4;simd_per_cu 2;wave_front_size 32;gfx_target_version 100306;"
    "vendor_id 4098;device_id 5056;location_id 4864;domain 0;drm_render_minor 129;unique_id 0"
)
RYZEN_IGPU_DRM: Files = {
    "uevent": "DRIVER=amdgpu\nPCI_SLOT_NAME=0000:13:00.0",
    "device": "0x13c0",
    "mem_info_vram_total": 536870912,
    "mem_info_vram_used": 482959360,
    "mem_info_gtt_total": 15602 * 2**20,
}


def rx_7800_xt_first(machine: Machine) -> None:
    machine.cpu(24)
    machine.gpu(RX_7800_XT, RX_7800_XT_DRM)
    machine.gpu(RYZEN_IGPU, RYZEN_IGPU_DRM)


# The order of lemonade-sdk/lemonade#2609: the iGPU is KFD's first GPU.
def rx_7800_xt_second(machine: Machine) -> None:
    machine.cpu(24)
    machine.gpu(RYZEN_IGPU, RYZEN_IGPU_DRM)
    machine.gpu(RX_7800_XT, RX_7800_XT_DRM)


# The order of ollama's discover/amd_test.go: node 1 is the card, on renderD129.
def rx_7800_xt_with_crossed_render_nodes(machine: Machine) -> None:
    machine.cpu(24)
    machine.gpu(RX_7800_XT.replace("minor 128", "minor 129"), RX_7800_XT_DRM)
    machine.gpu(RYZEN_IGPU.replace("minor 129", "minor 128"), RYZEN_IGPU_DRM)


# LACT, tests/snapshots/amd/rx6900xt (board_info absent: an older kernel); its KFD node without
# gfx_target_version, as in kernels before 5.16; 80 compute units.
def rx_6900_xt_old_kernel(machine: Machine) -> None:
    machine.cpu(16)
    machine.gpu(
        "cpu_cores_count 0;simd_count 160;simd_per_cu 2;wave_front_size 32;vendor_id 4098;"
        "device_id 29631;location_id 3072;drm_render_minor 128;unique_id 10695343361578070749",
        {
            "uevent": "DRIVER=amdgpu\nPCI_ID=1002:73BF\nPCI_SLOT_NAME=0000:0c:00.0",
            "device": "0x73bf",
            "revision": "0xc0",
            "unique_id": "946d7e1ef9b172dd",
            "mem_info_vram_vendor": "samsung",
            "mem_info_vram_total": 17163091968,
            "mem_info_vram_used": 668274688,
            "mem_info_gtt_total": 16786171904,
            "power/runtime_status": "active",
            "hwmon/hwmon5/power1_average": 36000000,
            "hwmon/hwmon5/temp1_input": 56000,
        },
    )


# ROCm/k8s-device-plugin, testdata/topo-mi210-xgmi-pcie, nodes 0 to 3.
def mi210_pair(machine: Machine) -> None:
    machine.cpu(64)
    machine.cpu(64)
    for location, minor, unique_id in (
        (25344, 128, 1801979520617338022),
        (17152, 129, 5847760019078012339),
    ):
        machine.gpu(
            "cpu_cores_count 0;simd_count 416;wave_front_size 64;simd_per_cu 4;"
            f"gfx_target_version 90010;vendor_id 4098;device_id 29711;location_id {location};"
            f"domain 0;drm_render_minor {minor};hive_id 12609507387757274807;"
            f"local_mem_size 0;unique_id {unique_id};num_xcc 1"
        )


# ROCm/k8s-device-plugin, testdata/topo-mi300-cpx: eight MI300X of eight partitions each.
MI300X_CARDS = (
    (1280, 16404946649897475633),
    (9984, 2472748907779728154),
    (18176, 15565237874008425757),
    (25856, 12035684874187068538),
    (34048, 15304831566906821053),
    (42752, 13644590235195043050),
    (50944, 13326531576914550249),
    (58624, 15931900197903628278),
)


def mi300x_cpx(machine: Machine, cards: int = 1) -> None:
    machine.cpu(96)
    machine.cpu(96)
    for card, (location, unique_id) in enumerate(MI300X_CARDS[:cards]):
        for part in range(8):
            machine.gpu(
                "cpu_cores_count 0;simd_count 152;wave_front_size 64;simd_per_cu 4;"
                "gfx_target_version 90402;vendor_id 4098;device_id 29857;"
                f"location_id {location + part};domain 0;"
                f"drm_render_minor {128 + 8 * card + part};hive_id 15188982192727901047;"
                f"local_mem_size 0;unique_id {unique_id};num_xcc 1"
            )


# ROCm/k8s-device-plugin, testdata/topology-parsing-mi308, nodes 2 to 5: one MI308X, four
# partitions, with memory banks.
def mi308x_partitions(machine: Machine) -> None:
    machine.cpu(96)
    for part, gpu_id in enumerate((24248, 41657, 59065, 2236)):
        machine.gpu(
            "cpu_cores_count 0;simd_count 80;wave_front_size 64;simd_per_cu 4;"
            "gfx_target_version 90402;vendor_id 4098;device_id 29858;"
            f"location_id {2560 + part};domain 0;drm_render_minor {128 + part};"
            "hive_id 2095653680343411291;local_mem_size 0;unique_id 598046273873802902;num_xcc 1",
            gpu_id=gpu_id,
            bank=(51539607552, 2907979776),
        )


# A public dump of a node of "4 MI300 GPUs that has 6 XCDs each" (device id 0x74a0, MI300A).
def mi300a(machine: Machine) -> None:
    for _ in range(4):
        machine.cpu(48)
    unique_ids = (
        *(7843934696581995200, 11940228331418201223),
        *(7304659965365223271, 6885922256455814113),
    )
    for domain, unique_id in enumerate(unique_ids):
        machine.gpu(
            "cpu_cores_count 0;simd_count 912;wave_front_size 64;simd_per_cu 4;"
            "gfx_target_version 90402;vendor_id 4098;device_id 29856;location_id 512;"
            f"domain {domain};drm_render_minor {128 + 8 * domain};hive_id 9034655720432782706;"
            f"local_mem_size 0;fw_version 138;unique_id {unique_id};num_xcc 6"
        )


# magnitudedev/magnitude#44 (amdgpu_top of a Radeon 8060S: 0000:c3:00.0, renderD128, revision
# 0xd1), 40 compute units; APUs have no unique_id.
def _strix_halo(machine: Machine, memory: Files) -> None:
    machine.cpu(32)
    machine.gpu(
        "cpu_cores_count 0;simd_count 80;simd_per_cu 2;wave_front_size 32;"
        "gfx_target_version 110501;vendor_id 4098;device_id 5510;location_id 49920;domain 0;"
        "drm_render_minor 128;unique_id 0;cwsr_size 28835840",
        {
            "uevent": "DRIVER=amdgpu\nPCI_CLASS=38000\nPCI_SLOT_NAME=0000:c3:00.0",
            "device": "0x1586",
            "revision": "0xd1",
            **memory,
        },
    )


# lemonade-sdk/llamacpp-rocm#9 (BIOS at 512 MB), with the ttm.pages_limit of the next record.
def strix_halo_512_mb(machine: Machine) -> None:
    memory = {"mem_info_vram_total": 536870912, "mem_info_vram_used": 368111616}
    _strix_halo(machine, {**memory, "mem_info_gtt_total": 103079215104})


# noamsto/nix-amd-ai#42 (ROG Flow Z13; llama.cpp's HIP backend says 98304 MiB there).
def strix_halo_4_gb(machine: Machine) -> None:
    memory = {"mem_info_vram_total": 4294967296, "mem_info_gtt_total": 103079215104}
    _strix_halo(machine, {**memory, "mem_info_gtt_used": 86 * 2**20})


# hipfire's record of a BIOS set to 96 GB: the carve-out is large, the GTT small.
def strix_halo_96_gb(machine: Machine) -> None:
    memory = {"mem_info_vram_total": 103079215104, "mem_info_vram_used": 21563965440}
    _strix_halo(machine, {**memory, "mem_info_gtt_total": 16363954176})


# ROCm/k8s-device-plugin, testdata/topology-parsing, nodes 0 and 1.
def vega10_old_kernel(machine: Machine) -> None:
    machine.cpu(16)
    machine.gpu(
        "cpu_cores_count 0;simd_count 256;wave_front_size 64;simd_per_cu 4;vendor_id 4098;"
        "device_id 26720;location_id 6400;drm_render_minor 128;local_mem_size 17163091968;"
        "unique_id 14073402507705256556",
        gpu_id=13261,
        bank=(17163091968, 14102528),
    )


# LACT, tests/snapshots/amd/phoenix, device and kfd.
def phoenix_780m(machine: Machine) -> None:
    machine.cpu(16)
    machine.gpu(
        "cpu_cores_count 0;simd_count 24;wave_front_size 32;simd_per_cu 2;"
        "gfx_target_version 110003;vendor_id 4098;device_id 5567;location_id 25600;domain 0;"
        "drm_render_minor 128;unique_id 0;num_xcc 1",
        {
            "uevent": "DRIVER=amdgpu\nPCI_SLOT_NAME=0000:64:00.0",
            "device": "0x15bf",
            "revision": "0xdd",
            "unique_id": "",
            "mem_info_vram_total": 4294967296,
            "mem_info_vram_used": 1272893440,
            "mem_info_gtt_total": 31433977856,
            "mem_info_gtt_used": 211398656,
            "gpu_busy_percent": 0,
            "hwmon/hwmon6/power1_average": 3103000,
            "hwmon/hwmon6/temp1_input": 25000,
        },
    )


def no_gpu(machine: Machine) -> None:
    machine.cpu(16)
    (machine.root / "dev/kfd").unlink()


# A container that got the second of two cards: its cgroup masks the first one's node.
def masked_node(machine: Machine) -> None:
    machine.cpu(64)
    machine.masked()
    machine.gpu(XTX, XTX_DRM)


# A container that got /dev/kfd alone, or the render node of one of two cards.
def without_render_node(machine: Machine) -> None:
    machine.cpu(16)
    machine.gpu(XTX, XTX_DRM, openable=False)


def one_of_two_render_nodes(machine: Machine) -> None:
    machine.cpu(24)
    machine.gpu(RYZEN_IGPU, RYZEN_IGPU_DRM, openable=False)
    machine.gpu(RX_7800_XT, RX_7800_XT_DRM)


MACHINES: Mapping[str, Callable[[Machine], None]] = {
    build.__name__: build
    for build in (
        rx_7900_xtx,
        rx_7800_xt_first,
        rx_7800_xt_second,
        rx_7800_xt_with_crossed_render_nodes,
        rx_6900_xt_old_kernel,
        mi210_pair,
        mi300x_cpx,
        mi308x_partitions,
        mi300a,
        strix_halo_512_mb,
        strix_halo_4_gb,
        strix_halo_96_gb,
        vega10_old_kernel,
        phoenix_780m,
        no_gpu,
        masked_node,
        without_render_node,
        one_of_two_render_nodes,
    )
}


def build(name: str, root: Path) -> Path:
    """Lay out the machine of that name below ``root``, and return ``root``."""
    MACHINES[name](Machine(root))
    return root
