"""Read from a server's log why the server failed. Pure.

log lines, exit code ──known_failures──▶ Failure (cause, remedy, evidence)
"""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from rocm_core.diagnosis.known_failures import KNOWN, KnownFailure


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
    found = first_known(_after_last_success(lines))
    if found and not (found.name in _ENDS_NO_SERVER and returncode is not None):
        return _memory_held(found, lines) or found
    return _BY_SIGNAL.get(-returncode) if returncode is not None else None


def _after_last_success(lines: list[str]) -> list[str]:
    for index in range(len(lines) - 1, -1, -1):
        if _OVERCOME.search(lines[index]):
            return lines[index + 1 :]
    return lines


def first_known(lines: Sequence[str], table: Sequence[KnownFailure] = KNOWN) -> Failure | None:
    """Return the failure of the first row of ``table`` that a line matches, wherever it is."""
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
