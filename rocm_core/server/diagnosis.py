"""Known log lines: what they mean and what to do. Pure."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """A known failure: short name, cause in words, remedy, and the log line that proves it."""

    name: str
    cause: str
    remedy: str
    evidence: str


# The order matters: the first pattern found anywhere in the log wins.
_KNOWN: tuple[tuple[str, str, str, str], ...] = (
    (
        "unknown_argument",
        r"invalid argument: (?P<what>\S+)",
        "llama-server does not know the argument {what}",
        "remove it from extra_args, or use a build that has it (llama-server --help)",
    ),
    (
        "port_in_use",
        r"couldn't bind|address already in use|bind: Address",
        "the TCP port is taken",
        "choose another port, or port=0 for a free one",
    ),
    (
        "not_gguf",
        r"invalid magic characters|not a (valid )?GGUF|failed to read magic",
        "the file is not a GGUF model",
        "give a .gguf file; convert other formats with llama.cpp's convert_hf_to_gguf.py",
    ),
    (
        "truncated",
        r"data is not within the file bounds|corrupted or incomplete",
        "the model file is cut short",
        "download or copy it again and compare its size",
    ),
    (
        "unknown_architecture",
        r"unknown model architecture: '?(?P<what>[^'\s]+)",
        "this llama.cpp build does not know the architecture {what}",
        "use a newer llama.cpp build",
    ),
    (
        "out_of_memory",
        r"out of memory|bad_alloc|(failed|unable) to allocate|(cuda|hip)Malloc failed",
        "there is not enough memory for the model and its context",
        "lower context_len, gpu_layers or parallel, or use a smaller quantization",
    ),
    (
        "file_not_found",
        r"failed to open GGUF file|No such file or directory",
        "a file could not be opened",
        "check the path and its permissions",
    ),
)


def explain_failure(log: Sequence[str], returncode: int | None = None) -> Failure | None:
    """The known failure that a log shows, or ``None``.

    Args:
        log: lines that the server printed, oldest first.
        returncode: exit code, or minus the signal number.
    """
    for name, pattern, cause, remedy in _KNOWN:
        for line in log:
            if found := re.search(pattern, line, re.IGNORECASE):
                return Failure(name, cause.format(**found.groupdict()), remedy, line)
    if returncode == -signal.SIGKILL:
        return Failure(
            "killed",
            "it was killed (SIGKILL), often by the kernel's out-of-memory killer",
            "look at dmesg; lower context_len or use a smaller model",
            "",
        )
    return None


def describe_exit(returncode: int | None) -> str:
    """An exit code in words."""
    if returncode is None:
        return "is still running"
    if returncode >= 0:
        return f"exited with code {returncode}"
    try:
        return f"was ended by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was ended by signal {-returncode}"
