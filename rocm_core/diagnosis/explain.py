"""Read a server's log: why the server failed, and whether it uses a GPU. Pure.

log lines, exit code ──known_failures──▶ Failure (cause, remedy, evidence)
log lines of a load  ──────────────────▶ GpuUse, or the reason why no GPU is used
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rocm_core.diagnosis.known_failures import (
    ACCESS,
    KERNELS,
    KNOWN,
    LOADER,
    WITHOUT_GPU,
    KnownFailure,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A known failure.

    Attributes:
        name: the row of ``known_failures`` that matched, such as ``vram_short``.
        cause: what went wrong, in words.
        remedy: what the user can do about it.
        evidence: the log line that matched; empty if the exit code alone decided.
    """

    name: str
    cause: str
    remedy: str
    evidence: str


_COLORS = re.compile(r"\x1b\[[0-9;]*m")
# The server recovered from every error that it printed before such a line.
_OVERCOME = re.compile(
    r"listening on (?:https?|unix)://|: model loaded$|retrying without pipeline parallelism"
)
_MEMORY_OF_DEVICE = re.compile(r"\((?P<total>\d+) MiB, (?P<free>\d+) MiB free\)")
# A build without a GPU warns so at every start: whatever ended its process, it was not that.
_ENDS_NO_SERVER = ("no_usable_gpu",)
_ON_GPU = ("weights_do_not_fit", "vram_short", "gpu_out_of_memory")
_ERROR_LINE = re.compile(
    r"^[\d.]+ E |\berror\b|\bfailed\b|\bfatal\b|GGML_ASSERT|GGML_ABORT|what\(\)|exception",
    re.IGNORECASE,
)
# Lines that llama.cpp prints because of an earlier error: they explain nothing.
_CONSEQUENCE = re.compile(
    r"exiting due to|failed to load (?:lora adapter|model),? '|failed to create[_ ]context with|"
    r"llama_model_load_from_file_impl|trying to fit params to free device memory"
)
_KILLED = Failure(
    "killed",
    "it was killed (SIGKILL), often by the kernel's out-of-memory killer",
    "look at dmesg; lower context_len or use a smaller model",
    "",
)
_ILLEGAL_INSTRUCTION = Failure(
    "illegal_instruction",
    "the build uses instructions that this CPU does not have",
    'use a build for this CPU, or compile it here (pip install "llama-rocm[server]")',
    "",
)
_BY_SIGNAL = {
    getattr(signal, "SIGKILL", 9): _KILLED,
    getattr(signal, "SIGILL", 4): _ILLEGAL_INSTRUCTION,
}


def explain_failure(log: Sequence[str], returncode: int | None = None) -> Failure | None:
    """Return the known failure that a log shows, or ``None``.

    Searches only the lines after the last sign of success (the model was loaded, an allocation
    was retried), because a healthy log has error lines too. The most specific row of
    ``known_failures`` wins, wherever its line is. Terminal colors are ignored.

    Args:
        log: lines that the server printed, oldest first.
        returncode: exit code, or minus the signal number; used only if no line matches
            (SIGKILL, SIGILL). ``None``: unknown, or the process still runs.
    """
    lines = [_COLORS.sub("", line) for line in log]
    found = _first_known(_after_last_success(lines))
    if found and not (found.name in _ENDS_NO_SERVER and returncode is not None):
        return _memory_held(found, lines) or found
    return _BY_SIGNAL.get(-returncode) if returncode is not None else None


def _after_last_success(lines: list[str]) -> list[str]:
    for index in range(len(lines) - 1, -1, -1):
        if _OVERCOME.search(lines[index]):
            return lines[index + 1 :]
    return lines


def _first_known(lines: Sequence[str], table: Sequence[KnownFailure] = KNOWN) -> Failure | None:
    for known in table:
        for line in lines:
            if found := known.search(line):
                return _failure(known, found, line)
    return None


def _failure(known: KnownFailure, found: re.Match[str], line: str) -> Failure:
    what = {"what": "it", "gfx": "this GPU"}
    what.update({name: value for name, value in found.groupdict().items() if value})
    return Failure(known.name, known.cause.format(**what), known.remedy, line.strip())


def _memory_held(found: Failure, lines: list[str]) -> Failure | None:
    """Return ``vram_held`` if less than half of a GPU's memory was free before the load."""
    if found.name not in _ON_GPU:
        return None
    for line in lines:
        memory = _MEMORY_OF_DEVICE.search(line)
        if memory and "CPU" not in line and 2 * int(memory["free"]) < int(memory["total"]):
            return Failure(
                "vram_held",
                f"another program holds most of the GPU's memory: {memory['free']} of "
                f"{memory['total']} MiB were free",
                "find it (fuser -v /dev/kfd /dev/dri/renderD*; rocm-smi --showpids) and end it",
                found.evidence,
            )
    return None


def error_lines(log: Sequence[str], limit: int = 3) -> list[str]:
    """Return the last ``limit`` distinct error lines of a log, oldest first.

    Leaves out lines that only follow from an earlier error. Falls back on the last line of the
    log; empty for an empty log. Terminal colors are removed.
    """
    said = [_COLORS.sub("", line).strip() for line in log if line.strip()]
    errors = [line for line in said if _ERROR_LINE.search(line)]
    causes = [line for line in errors if not _CONSEQUENCE.search(line)]
    return list(dict.fromkeys(causes or errors))[-limit:] or said[-1:]


def describe_exit(returncode: int | None) -> str:
    """Return an exit code as a verb phrase: ``exited with code 1``, ``was ended by SIGKILL``.

    Args:
        returncode: exit code, or minus the signal number; ``None`` while the process runs.
    """
    if returncode is None:
        return "is still running"
    if returncode >= 0:
        return f"exited with code {returncode}"
    try:
        return f"was ended by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was ended by signal {-returncode}"


# ---------------------------------------------------------------------------
# The GPU
# ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GpuUse:
    """What a load log says about the GPU.

    Attributes:
        used: whether layers or buffers are on a GPU; ``None`` if the log does not say.
        layers: ``(offloaded, total)`` layers, the output layer included; ``None`` if the log
            does not say.
        devices: the GPUs that llama.cpp found, by its names (``ROCm0``, ``Vulkan0``).
        evidence: the log line that decides ``used``; empty if none does.
    """

    used: bool | None
    layers: tuple[int, int] | None = None
    devices: tuple[str, ...] = ()
    evidence: str = ""


_GPU_NAME = r"(?:ROCm|CUDA|Vulkan|SYCL|MTL|Metal|MUSA|CANN|OpenCL)\d*"
_OFFLOADED = re.compile(r"offloaded (\d+)/(\d+) layers to GPU")
_BUFFER = re.compile(rf"\b({_GPU_NAME}) +model buffer size *= *([\d.]+) MiB")
_HOST_BUFFER = re.compile(r"\b(?:CPU\w*|\w+_Host) +model buffer size *=")
_OTHER_BUFFER = re.compile(r"model buffer size *=")
_DEVICE = re.compile(rf"(?:using device ({_GPU_NAME}) \(|- ({_GPU_NAME})\s*: .*MiB free\))")
_FOUND = re.compile(r"found (\d+) (?:ROCm|CUDA|Vulkan|SYCL)\w* devices", re.IGNORECASE)
_NONE = re.compile(
    r"no usable GPU found|not compiled with GPU offload|failed to initialize (?:ROCm|CUDA|HIP):",
    re.IGNORECASE,
)
# Failures after which a server still starts, but without a GPU.
_KEEPS_GPU_AWAY = (*LOADER, *ACCESS, *KERNELS, *WITHOUT_GPU)


def gpu_use(log: Iterable[str]) -> GpuUse:
    """Read from a load log whether the load put anything on a GPU.

    Source lines: ``load_tensors: offloaded N/M layers to GPU`` and the buffer sizes (llama.cpp
    ``llama-model.cpp``), ``device_info`` (``common.cpp``), ``ggml_cuda_init`` (``ggml-cuda.cu``),
    the warning for ``-ngl`` (``common/arg.cpp``). Newer builds (b11434) print all but the last
    two only with ``--log-verbosity 4``. The buffers outweigh the count: a build with a GPU back
    end counts all layers as offloaded even where it has no device (b10434, ``--device none``).
    """
    devices: dict[str, None] = {}
    layers: tuple[int, int] | None = None
    yes = no = count = host = other = ""
    for line in map(str.strip, log):
        if found := _DEVICE.search(line):
            devices[found[1] or found[2]] = None
        elif found := _OFFLOADED.search(line):
            layers, count = (int(found[1]), int(found[2])), line
        elif (found := _BUFFER.search(line)) and float(found[2]) > 0:
            devices[found[1]], yes = None, yes or line
        elif _HOST_BUFFER.search(line):
            host = host or line
        elif _OTHER_BUFFER.search(line):
            other = line
        elif _NONE.search(line) or ((found := _FOUND.search(line)) and found[1] == "0"):
            no = no or line
    if layers is not None:
        if layers[0] > 0 and host and not (yes or other):
            return GpuUse(False, (0, layers[1]), tuple(devices), host)
        return GpuUse(layers[0] > 0, layers, tuple(devices), count)
    if yes:
        return GpuUse(True, None, tuple(devices), yes)
    return GpuUse(False if no else None, None, tuple(devices), no)


def gpu_problem(log: Sequence[str], *, strict: bool) -> str | None:
    """Return why a server uses no GPU, in words and with a remedy where known; else ``None``.

    Args:
        log: lines of the load, oldest first.
        strict: whether a log that does not say counts as "no GPU".
    """
    use = gpu_use(log)
    if use.used or (use.used is None and not strict):
        return None
    text = f"no layer is on a GPU ({use.evidence or 'the log shows none'})"
    found = _first_known([_COLORS.sub("", line) for line in log], _KEEPS_GPU_AWAY)
    return f"{text}: {found.cause}. Remedy: {found.remedy}" if found else text
