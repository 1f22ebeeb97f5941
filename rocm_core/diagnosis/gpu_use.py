"""Read from the log of a load whether it uses a GPU: which buffers are on which device. Pure.

log lines of a load ──▶ GpuUse, or the reason why no GPU is used

Judged by buffers alone. "offloaded 33/33 layers to GPU" counts the layers that were asked for: a
build for GPUs prints it without any device as well, with every buffer in host memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Buffers:
    """What a load put on one device, in MiB.

    Attributes:
        weights: tensors of the model.
        cache: KV cache, and the state of recurrent layers.
    """

    weights: float = 0.0
    cache: float = 0.0


@dataclass(frozen=True, slots=True)
class GpuUse:
    """What a load log says about the GPU.

    Attributes:
        used: whether weights or cache are on a device other than the host; ``None`` if the log
            names no buffer.
        layers: ``(offloaded, total)`` layers that the log counts, the output layer included;
            ``None`` if it does not say. No evidence for a GPU.
        devices: the GPUs that llama.cpp found, by its names (``ROCm0``, ``Vulkan0``).
        evidence: the log line that decides ``used``; empty if none does.
        buffers: what is on each device that has any, by its name; the host is left out.
        software: the devices, by name, that are software devices (llvmpipe), with what they are.
    """

    used: bool | None
    layers: tuple[int, int] | None = None
    devices: tuple[str, ...] = ()
    evidence: str = ""
    buffers: Mapping[str, Buffers] = field(default_factory=dict)
    software: Mapping[str, str] = field(default_factory=dict)

    @property
    def only_software(self) -> bool:
        """Whether all buffers that are not on the host are on software devices."""
        return bool(self.buffers) and all(name in self.software for name in self.buffers)


# Devices by the names of llama.cpp's back ends. A model that several GPUs share by rows is in a
# buffer of all of them (CUDA_Split, ggml-cuda.cu), by tensors in one of Meta(); on Metal one maps
# the file (MTL0_Mapped); another machine's is RPC0[host:port].
_GPU_NAME = (
    r"(?:(?:ROCm|CUDA|Vulkan|SYCL|MTL|Metal|MUSA|CANN|OpenCL)\d*(?:_Split|_Mapped|_Private)?"
    r"|Meta\([^)]*\)|RPC\d*\[[^\]]*\])"
)
_OFFLOADED = re.compile(r"offloaded (\d+)/(\d+) layers to GPU")
# "ROCm0 model buffer size = 1 MiB", "ROCm0 buffer size = 1 MiB" (2024), "ROCm0 KV buffer size",
# "ROCm0 RS buffer size" (recurrent state); "compute" and "output" are no evidence: a build for
# GPUs has a compute buffer there without any layer.
_BUFFER = re.compile(
    rf"(?<![\w-])(?P<device>{_GPU_NAME}|CPU\w*|Host|\w+_Host|BLAS) +"
    r"(?P<kind>model |KV |RS |)buffer size *= *(?P<size>[\d.]+) MiB"
)
# Lines that follow those of the weights: until one is there, a device's may still come.
_AFTER_WEIGHTS = re.compile(r"llama_context: |(?:KV|compute) buffer size|: model loaded$")
_ON_HOST = re.compile(r"CPU|Host$|\w+_Host$|BLAS$")
_DEVICE = re.compile(
    rf"(?:using device (?P<used>{_GPU_NAME}) \((?P<name>.*?)\)(?: \([\w:. ]+\))? - "
    rf"|- (?P<there>{_GPU_NAME})\s*: (?P<what>.*) \(\d+ MiB, \d+ MiB free\))"
)
_SOFTWARE = re.compile("llvmpipe|lavapipe|swiftshader", re.IGNORECASE)
_FOUND = re.compile(r"found (\d+) (?:ROCm|CUDA|Vulkan|SYCL)\w* devices", re.IGNORECASE)
_NONE = re.compile(
    r"no usable GPU found|not compiled with GPU offload|failed to initialize (?:ROCm|CUDA|HIP):",
    re.IGNORECASE,
)
_COLORS = re.compile(r"\x1b\[[0-9;]*m")


def gpu_use(log: Iterable[str]) -> GpuUse:
    """Read from a load log what the load put on which device.

    Source lines: the buffer sizes (llama.cpp ``llama-model.cpp``, ``llama-kv-cache.cpp``,
    ``llama-memory-recurrent.cpp``), ``device_info`` (``common.cpp``), ``ggml_cuda_init``
    (``ggml-cuda.cu``), the warning for ``-ngl`` (``common/arg.cpp``). Newer builds (b11434) print
    all but the last two only with ``--log-verbosity 4``.
    """
    reading = _Reading()
    for line in map(str.strip, log):
        reading.read(line)
    return reading.result()


def gpu_problem(log: Sequence[str], *, strict: bool, software: bool = False) -> str | None:
    """Return why a server uses no GPU, in words and with a remedy where known; else ``None``.

    Args:
        log: lines of the load, oldest first.
        strict: whether a log that does not say counts as "no GPU".
        software: whether a software device was asked for, and so is no problem.
    """
    use = gpu_use(log)
    if use.used and use.only_software and not software:
        names = ", ".join(f"{name} is {use.software[name]}" for name in use.buffers)
        return (
            f"{names}: a software device, which computes on the CPU. Remedy: install the Vulkan "
            "driver of the card (llama-rocm setup says how); devices=['llvmpipe'] says that it is "
            "meant"
        )
    if use.used or (use.used is None and not strict):
        return None
    # The table is loaded for a load without its GPU alone.
    from rocm_core.diagnosis.explain import first_known
    from rocm_core.diagnosis.table import KEEPS_GPU_AWAY

    text = f"no layer is on a GPU ({use.evidence or 'the log shows none'})"
    found = first_known([_COLORS.sub("", line) for line in log], KEEPS_GPU_AWAY)
    return f"{text}: {found.cause}. Remedy: {found.remedy}" if found else text


class _Reading:
    """What the lines of a load have said so far."""

    def __init__(self) -> None:
        self.devices: dict[str, None] = {}
        self.software: dict[str, str] = {}
        self.buffers: dict[str, Buffers] = {}
        self.layers: tuple[int, int] | None = None
        self.on_gpu = self.on_host = self.none_found = self.none_offloaded = ""
        self.weights_told = False

    def read(self, line: str) -> None:
        self.weights_told = self.weights_told or bool(_AFTER_WEIGHTS.search(line))
        if found := _DEVICE.search(line):
            name, what = found["used"] or found["there"], found["name"] or found["what"] or ""
            self.devices[name] = None
            if _SOFTWARE.search(what):
                self.software[name] = what
        elif found := _OFFLOADED.search(line):
            self.layers = int(found[1]), int(found[2])
            self.none_offloaded = line if found[1] == "0" else ""
        elif found := _BUFFER.search(line):
            self._buffer(found, line)
        elif _NONE.search(line) or ((found := _FOUND.search(line)) and found[1] == "0"):
            self.none_found = self.none_found or line

    def _buffer(self, found: re.Match[str], line: str) -> None:
        name, kind, size = found["device"], found["kind"].strip(), float(found["size"])
        if _ON_HOST.match(name):
            self.on_host = self.on_host or (line if kind in ("model", "") else "")
        elif size > 0:
            had = self.buffers.get(name, Buffers())
            on_weights = kind in ("model", "")
            self.buffers[name] = Buffers(
                had.weights + size * on_weights, had.cache + size * (not on_weights)
            )
            self.devices.setdefault(name)
            self.on_gpu = self.on_gpu or line

    def result(self) -> GpuUse:
        """Return the judgment: a buffer on a device, else buffers on the host alone, else words."""
        used = True if self.on_gpu else None
        evidence = self.on_gpu
        host_alone = self.on_host if self.weights_told else ""
        if used is None and (no := self.none_offloaded or self.none_found or host_alone):
            used, evidence = False, no
        return GpuUse(used, self.layers, tuple(self.devices), evidence, self.buffers, self.software)
