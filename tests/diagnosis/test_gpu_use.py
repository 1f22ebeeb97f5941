"""Whether a load uses a GPU, by the buffers that its log names: recorded, with and without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from rocm_core.diagnosis.gpu_use import Buffers, GpuUse, gpu_problem, gpu_use

USED = {"yes": True, "no": False, "unknown": None}
LOGS = Path(__file__).parents[1] / "support" / "logs"

FULL = """\
ggml_cuda_init: found 1 ROCm devices (Total VRAM: 24560 MiB):
  Device 0: AMD Radeon RX 7900 XTX, gfx1100 (0x1100), VMM: no, Wave Size: 32, VRAM: 24560 MiB
llama_model_load_from_file_impl: using device ROCm0 (AMD Radeon RX 7900 XTX) - 24510 MiB free
load_tensors: offloaded 33/33 layers to GPU
load_tensors:        ROCm0 model buffer size =  4403.49 MiB
""".splitlines()


def test_all_layers_on_the_gpu() -> None:
    use = gpu_use(FULL)
    assert use.used is True
    assert use.layers == (33, 33)
    assert use.devices == ("ROCm0",)
    assert gpu_problem(FULL, strict=True) is None


def test_no_layer_on_the_gpu() -> None:
    # ollama/ollama#12303
    use = gpu_use(["load_tensors: offloaded 0/35 layers to GPU"])
    assert use == GpuUse(False, (0, 35), (), "load_tensors: offloaded 0/35 layers to GPU")
    problem = gpu_problem(["load_tensors: offloaded 0/35 layers to GPU"], strict=False)
    assert problem is not None
    assert "offloaded 0/35" in problem


@pytest.mark.parametrize("device", ["ROCm0", "Vulkan0", "CUDA1", "SYCL0"])
def test_buffers_on_a_gpu_are_evidence(device: str) -> None:
    line = f"0.01 I load_tensors:  {device} model buffer size =  4403.49 MiB"
    assert gpu_use([line]) == GpuUse(True, None, (device,), line, {device: Buffers(4403.49)})


def test_buffers_of_the_cpu_are_not() -> None:
    lines = ["load_tensors:   CPU_Mapped model buffer size =     0.13 MiB"]
    assert gpu_use(lines).used is None
    assert gpu_use(["load_tensors:  ROCm_Host model buffer size = 70.00 MiB"]).used is None


def test_a_gpu_that_is_there_but_not_used_is_not_claimed() -> None:
    lines = ["  - ROCm0   : AMD Radeon RX 7900 XTX (24560 MiB, 24510 MiB free)"]
    assert gpu_use(lines) == GpuUse(None, None, ("ROCm0",), "")


@pytest.mark.parametrize("name", ["healthy.b11434.txt", "healthy.b11434.lv4.txt"])
def test_the_cpu_build_says_that_there_is_no_gpu(name: str) -> None:
    log = (LOGS / name).read_text().splitlines()
    assert gpu_use(log).used is False
    problem = gpu_problem(log, strict=False)
    assert problem is not None
    assert "no GPU support" in problem
    assert "server_path=" in problem


def test_hip_without_a_device_is_explained_from_the_line_before_the_start() -> None:
    log = [
        "ggml_cuda_init: failed to initialize ROCm: no ROCm-capable device is detected",
        "0.1 I srv  llama_server: model loaded",
    ]
    problem = gpu_problem(log, strict=False)
    assert problem is not None
    assert "/dev/kfd" in problem


def test_a_log_that_does_not_tell_is_a_problem_only_when_asked() -> None:
    log = ["0.1 I srv  llama_server: model loaded"]
    assert gpu_use(log).used is None
    assert gpu_problem(log, strict=False) is None
    assert gpu_problem(log, strict=True) == "no layer is on a GPU (the log shows none)"


# -- recorded loads ------------------------------------------------------------------------------


class Load(NamedTuple):
    name: str
    used: bool | None
    buffers: dict[str, Buffers]
    lines: list[str]


def loads() -> Iterator[Load]:
    for block in (LOGS / "loads.txt").read_text().split("\n## ")[1:]:
        head, _, body = block.partition("\n")
        name, used, held, _ = (part.strip() for part in head.split("|"))
        buffers = {}
        for device in filter(None, held.split(", ")):
            where, sizes = device.split(" ")
            buffers[where] = Buffers(*map(float, sizes.split("+")))
        yield Load(name, USED[used], buffers, body.splitlines())


LOADS = list(loads())


@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.name)
def test_a_load_is_judged_by_its_buffers(load: Load) -> None:
    use = gpu_use(load.lines)
    assert use.used is load.used
    assert {name: tuple_of(held) for name, held in use.buffers.items()} == {
        name: pytest.approx(tuple_of(held)) for name, held in load.buffers.items()
    }
    asked = gpu_problem(load.lines, strict=True, software=True)
    assert (asked is None) is (load.used is True)


def tuple_of(held: Buffers) -> tuple[float, float]:
    return held.weights, held.cache


def test_the_count_of_offloaded_layers_is_no_evidence() -> None:
    (load,) = (load for load in LOADS if load.name == "Vulkan, --device none")
    assert any("offloaded 6/6 layers to GPU" in line for line in load.lines)
    use = gpu_use(load.lines)
    assert (use.used, use.layers, use.buffers) == (False, (6, 6), {})
    assert "CPU_Mapped model buffer size" in use.evidence
    assert gpu_use(["load_tensors: offloaded 33/33 layers to GPU"]).used is None


def test_weights_of_a_device_may_come_after_those_of_the_host() -> None:
    host = "load_tensors:   CPU_Mapped model buffer size =     0.30 MiB"
    assert gpu_use([host]).used is None
    assert gpu_use([host, "llama_context: n_ctx = 512"]).used is False


def test_a_software_device_is_a_gpu_only_for_who_asked_for_it() -> None:
    (load,) = (load for load in LOADS if load.name == "Vulkan")
    use = gpu_use(load.lines)
    assert use.only_software
    assert use.software == {"Vulkan0": "llvmpipe (LLVM 15.0.6, 256 bits)"}
    problem = gpu_problem(load.lines, strict=False)
    assert problem is not None
    assert "software device, which computes on the CPU. Remedy: install the Vulkan dr" in problem
    assert gpu_problem(load.lines, strict=True, software=True) is None


def test_layers_on_another_machine_are_not_on_this_host() -> None:
    line = "load_tensors: RPC0[127.0.0.1:50052] model buffer size =     2.55 MiB"
    assert gpu_use([line]).used is True
