"""``llama-rocm explain``: why a server failed, from a log of any program that ran llama.cpp."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rocm_core.cli.screen import say
from rocm_core.errors import ConfigError

if TYPE_CHECKING:
    from rocm_core.diagnosis import Failure
    from rocm_core.diagnosis.search import Reading

_BACKENDS = ("hip", "vulkan", "cpu")
_SHOWN = 12
# Seconds before a log's end in which what the kernel says may belong to it.
_OF_THE_LOG = 86400.0


@dataclass
class _Case:
    """What is looked at.

    Attributes:
        title: what it is, in words.
        code: exit code, or minus the signal number.
        ended: when the log ended, in seconds since 1970.
        tail: last lines, where the log is the one that is kept of a failed start.
    """

    title: str
    reading: Reading
    code: int | None = None
    ended: float = field(default_factory=time.time)
    tail: list[str] = field(default_factory=list)


def add_command(commands: Any) -> None:
    """Register ``explain``."""
    parser = commands.add_parser("explain", help="say why a server failed, from its log")
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="the log: of llama-server, Ollama, LM Studio, Jan, systemd, Docker, …; - for the "
        "standard input; without it: what is piped in, else the last start that failed here",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--returncode",
        type=int,
        metavar="N",
        help="how the process ended: its exit code, or minus the number of the signal",
    )
    parser.add_argument(
        "--backend", choices=_BACKENDS, help="the build's GPU back end, if the log says too little"
    )
    parser.add_argument(
        "--no-kernel-log", action="store_true", help="do not ask dmesg for errors of the GPU"
    )
    parser.set_defaults(run=run, verbose=False)


def run(options: argparse.Namespace) -> int:
    """Explain, tell what was looked at, and return 0, or 1 if nothing explains the log."""
    from rocm_core.diagnosis.explain import explain_reading, runs_without_gpu
    from rocm_core.diagnosis.kernel import Process, lines_about
    from rocm_core.diagnosis.search import read_log
    from rocm_core.supervisor.exits.kernel_log import KernelLog, read_kernel_log

    case = _case(options)
    if options.returncode is not None:
        case.code = options.returncode
    kernel = KernelLog([], "not asked") if options.no_kernel_log else read_kernel_log()
    ended = time.monotonic() - (time.time() - case.ended)  # by the kernel's clock
    process = Process(0, "", ended - _OF_THE_LOG, ended)
    of_kernel = read_log(lines_about(kernel.lines, process)) if kernel.lines else None
    # Variables of this shell are none of the log's process.
    failure = explain_reading(case.reading, case.code, None, of_kernel, options.backend)
    runs = False
    if failure is None:
        failure = runs_without_gpu(case.reading, options.backend)
        runs = failure is not None
    looked = [
        f"{case.title}: {case.reading.lines} lines",
        "exit code: " + ("unknown (--returncode)" if case.code is None else str(case.code)),
        "kernel's log: " + (kernel.problem or f"{len(kernel.lines)} lines"),
    ]
    if variables := " ".join(f"{name}={said}" for name, said in case.reading.variables.items()):
        looked.append(f"variables in the log: {variables}")
    if options.json:
        record = {"failure": asdict(failure) if failure else None, "runs": runs, "looked": looked}
        say(json.dumps(record, indent=2))
    else:
        _show(failure, runs, looked, case.tail)
    return 0 if failure else 1


def _case(options: argparse.Namespace) -> _Case:
    from rocm_core.diagnosis.search import read_log

    if options.file == "-" or (options.file is None and not _is_terminal()):
        return _Case("standard input", read_log(_lines(sys.stdin.buffer)))
    if options.file is not None:
        try:
            with Path(options.file).open("rb") as file:
                ended = os.fstat(file.fileno()).st_mtime
                return _Case(options.file, read_log(_lines(file)), ended=ended)
        except OSError as error:
            raise ConfigError(f"{options.file}: {error.strerror or error}") from error
    return _last_start()


def _last_start() -> _Case:
    from rocm_core.diagnosis.search import read_log
    from rocm_core.supervisor.exits.last_start import last_failed_start

    start = last_failed_start(os.environ)
    if start is None:
        raise ConfigError("no failed start is known here; name a log, or - for the standard input")
    title = f"the last failed start of {start.model}"
    return _Case(title, read_log(start.log), start.returncode, start.time, start.log)


def _is_terminal() -> bool:
    return sys.stdin is None or sys.stdin.closed or sys.stdin.isatty()


def _lines(file: Any) -> Iterator[str]:
    # In pieces: a line may be as long as the file.
    while piece := file.readline(1 << 20):
        yield piece.decode("utf-8", "replace").rstrip("\r\n")


def _show(failure: Failure | None, runs: bool, looked: list[str], tail: list[str]) -> None:
    if failure is None:
        say("Nothing known explains it.")
        for line in tail[-_SHOWN:]:
            say(f"  {line}")
    else:
        say(f"{'It runs without a GPU' if runs else 'Cause'}: {failure.cause}")
        say(f"Remedy: {failure.remedy}")
        if failure.evidence:
            say(f"Shown by: {failure.evidence}")
        say(f"Name: {failure.name}")
        if failure.alternatives:
            say("Also there, but not the cause:")
        for other in failure.alternatives:
            say(f"  {other.name}: {other.cause}; {other.why}")
    say("Looked at:")
    for line in looked:
        say(f"  {line}")
