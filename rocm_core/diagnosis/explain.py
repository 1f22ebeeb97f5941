"""Say why a server failed, from its log, its exit code, its variables and the kernel's log. Pure.

log ──search──▶ rows found ┐
exit code ─────────────────┤
variables ─────────────────┼──▶ the one that explains the end best, and why it outranks the others
kernel's log ──────────────┘
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from rocm_core.diagnosis.environment import suspects
from rocm_core.diagnosis.failure import Alternative, Failure
from rocm_core.diagnosis.search import DEGRADED, Match, Reading, read_log
from rocm_core.diagnosis.table import KNOWN, STAGES, KnownFailure
from rocm_core.diagnosis.table.row import Cure
from rocm_core.diagnosis.unwrap import plain
from rocm_core.diagnosis.versions import is_older

__all__ = ["Failure", "describe_exit", "error_lines", "explain_failure", "explain_reading"]

_STAGE = {stage.name: index for index, stage in enumerate(STAGES)}
_END = len(STAGES)
_ON_GPU = ("weights_do_not_fit", "vram_short", "gpu_out_of_memory", "vulkan_allocation_limit")
_SIGKILL = int(getattr(signal, "SIGKILL", 9))
_SIGILL = int(getattr(signal, "SIGILL", 4))
# Signals of a fault in the process itself, and the row that says so if the log has no reason.
_CRASHES = {
    -int(getattr(signal, name, number)): row
    for name, number, row in (
        ("SIGABRT", 6, "aborted"),
        ("SIGFPE", 8, "crashed"),
        ("SIGBUS", 7, "crashed"),
        ("SIGSEGV", 11, "crashed"),
    )
}
# What a process that was killed from outside may have suffered from before.
_BEFORE_SIGKILL = ("kernel", "device", "memory")
# Windows: STATUS_ILLEGAL_INSTRUCTION, and the same as a signed number.
_ILLEGAL_ON_WINDOWS = (0xC000001D, 0xC000001D - (1 << 32))
# What an exit code of Windows says by itself: the row, and its stage.
_SAID_BY_CODE = {
    0xC0000005: ("crashed", "crash"),
    0xC0000135: ("missing_dll", "loader"),
    0xC0000139: ("mixed_dlls", "loader"),
    0xC0000409: ("aborted", "crash"),
}
# The kernel's log is one of all programs: the name of one that runs llama.cpp.
_OURS = re.compile(r"llama|ollama|lmstudio|lm-studio|kobold|local-ai|python|killed by the", re.I)
# An exception that nobody caught ends a process, whatever row its words belong to.
_UNCAUGHT = "what():"
_ERROR_LINE = re.compile(
    r"^[\d.]+ E |\berror\b|\bfailed\b|\bfatal\b|GGML_ASSERT|GGML_ABORT|what\(\)|exception",
    re.IGNORECASE,
)
# Lines that llama.cpp prints because of an earlier error: they explain nothing.
_CONSEQUENCE = re.compile(
    r"exiting due to|failed to load (?:lora adapter|model),? '|failed to create[_ ]context with|"
    r"llama_model_load_from_file_impl|trying to fit params to free device memory"
)
# Where a cause names what a line did not tell.
_UNNAMED = re.compile(r": \{what\}| \(\{what\}\)|, \{what\},| \{what\}$")


class _Candidate(NamedTuple):
    name: str
    stage: int
    over: tuple[str, ...]
    cause: str
    remedy: str
    evidence: str


def explain_failure(
    log: str | Iterable[str],
    returncode: int | None = None,
    environment: Mapping[str, str] | None = None,
    kernel_log: str | Iterable[str] | None = None,
    engine: str | None = None,
) -> Failure | None:
    """Return the known failure that explains best how a server ended, or ``None``.

    Counts only lines after the last sign of success (the model was loaded, an allocation was
    retried), because a healthy log has error lines too. Colors, and what other programs put
    around a line, are taken off (``unwrap``). The order of two failures is that of ``STAGES``
    and of ``KnownFailure.over``, never that of their lines.

    Args:
        log: what the server printed: a text, or its lines, oldest first. Of any length: it is
            read once, in blocks.
        returncode: exit code, or minus the signal number; 128 plus the signal number, as a shell
            or a container says it, counts as the signal. ``None``: unknown, or the process still
            runs.
        environment: variables of the process. Only those of GPUs are looked at.
        kernel_log: lines of ``dmesg``. They count only beside a log that shows a GPU which is not
            seen or fails, or for a process that was killed.
        engine: the server's GPU back end, ``"hip"``, ``"vulkan"`` or ``"cpu"``, if known: rows of
            another one do not count.
    """
    kernel = read_log(kernel_log) if kernel_log is not None else None
    return explain_reading(read_log(log), returncode, environment, kernel, engine)


def explain_reading(
    reading: Reading,
    returncode: int | None = None,
    environment: Mapping[str, str] | None = None,
    kernel: Reading | None = None,
    engine: str | None = None,
) -> Failure | None:
    """Do what ``explain_failure`` does, for a log that is read already."""
    code = _as_signal(returncode)
    found = [
        match
        for match in reading.found.values()
        if engine is None or match.row.backend in ("", engine)
    ]
    candidates = _behind_crashes([_candidate(match) for match in found if _may_end(match, code)])
    names = {match.row.name for match in found}
    variables = {**reading.variables, **(environment or {})}
    telling = _telling(found, code)
    crashed = code in _CRASHES and not names
    candidates += [
        _Candidate(name, _STAGE["environment"], (), *words)
        for name, *words in suspects(variables, telling, crashed=crashed)
    ]
    if kernel is not None:
        candidates += _of_kernel(kernel, found, code)
    candidates = _with_the_end(candidates, code)
    if not candidates:
        return None
    ranked = _ranked(list({one.name: one for one in reversed(candidates)}.values()))
    return _told(ranked, reading)


def _may_end(match: Match, code: int | None) -> bool:
    return match.row.ends or code is None or _UNCAUGHT in match.line


def _behind_crashes(candidates: list[_Candidate]) -> list[_Candidate]:
    """Let a crash that the log shows explain more than a line after which a server runs on."""
    if not any(one.stage == _STAGE["crash"] for one in candidates):
        return candidates
    goes_on = {row.name for row in STAGES[DEGRADED].rows if not row.ends}
    return [one._replace(stage=_END - 1) if one.name in goes_on else one for one in candidates]


def _telling(found: Sequence[Match], code: int | None) -> set[str]:
    """Return the rows that a variable may be the cause of: not all of a server that ended.

    A server whose GPUs are hidden on purpose runs on the CPU, and says so; what ends it is
    another thing.
    """
    ending = [match for match in found if _may_end(match, code)]
    if code is not None and any(match.stage != DEGRADED for match in ending):
        ending = [match for match in ending if match.stage != DEGRADED]
    return {match.row.name for match in ending}


def _as_signal(returncode: int | None) -> int | None:
    if returncode in _ILLEGAL_ON_WINDOWS:
        return -_SIGILL
    # A shell's and a container's way of saying that a signal ended the process.
    if returncode is not None and 128 - returncode in (-_SIGKILL, -_SIGILL, *_CRASHES):
        return 128 - returncode
    return returncode


def _candidate(match: Match) -> _Candidate:
    row = match.row
    return _Candidate(row.name, match.stage, row.over, *_words(row, match.groups), match.line)


def _words(row: KnownFailure, groups: Mapping[str, str]) -> tuple[str, str]:
    said = {"what": "it", "gfx": "this GPU"}
    first = next(iter(groups.values()), None)
    if first is not None and "gfx" not in groups:
        said["what"] = first
    said.update({name: value for name, value in groups.items() if name in said})
    cause = row.cause if first is not None else _UNNAMED.sub("", row.cause)
    remedy = f"{row.remedy} ({row.versions})" if row.versions else row.remedy
    return cause.format(**said), remedy


def _of_kernel(kernel: Reading, found: Sequence[Match], code: int | None) -> list[_Candidate]:
    """Return what the kernel's log adds to a log that shows a GPU in trouble, or to a SIGKILL."""
    on_gpu = any(
        match.row.backend
        or match.row.name in _ON_GPU
        or STAGES[match.stage].name in ("access", "device", "degraded")
        for match in found
    )
    matches = [*kernel.before.values(), *kernel.found.values()]
    return [
        _candidate(match)
        for match in matches
        if (STAGES[match.stage].name == "kernel" and on_gpu)
        or (match.row.name == _seen_by_kernel(code) and _OURS.search(match.line))
    ]


def _seen_by_kernel(code: int | None) -> str:
    """Return the row that the kernel's log shows of a process that a signal ended."""
    if code == -_SIGKILL:
        return "killed_for_memory"
    if code == -_SIGILL:
        return "illegal_instruction"
    return _CRASHES.get(code, "") if code is not None else ""


def _with_the_end(candidates: list[_Candidate], code: int | None) -> list[_Candidate]:
    """Let the exit code count: a signal has causes of its own, and excludes others."""
    if code == -_SIGILL:
        return [*candidates, _of_row("illegal_instruction", _STAGE["processor"])]
    if code == -_SIGKILL:
        possible = {_STAGE[name] for name in _BEFORE_SIGKILL}
        likely = [one for one in candidates if one.stage in possible]
        others = [one._replace(stage=_END + 1) for one in candidates if one.stage not in possible]
        return [*likely, _of_row("killed", _END), *others]
    if code in _CRASHES:
        return [*candidates, _of_row(_CRASHES[code], _STAGE["crash"])]
    if code is not None and code < -(1 << 16):  # a signed number of Windows
        code += 1 << 32
    if code in _SAID_BY_CODE:
        name, stage = _SAID_BY_CODE[code]
        return [*candidates, _of_row(name, _STAGE[stage])]
    return candidates


def _of_row(name: str, stage: int) -> _Candidate:
    row = next(row for row in KNOWN if row.name == name)
    return _Candidate(name, stage, row.over, *_words(row, {}), "")


def _ranked(candidates: list[_Candidate]) -> list[tuple[_Candidate, bool]]:
    """Return the candidates, best first, and whether the first outranks each by ``over``."""
    order = {row.name: index for index, row in enumerate(KNOWN)}

    def rank(one: _Candidate) -> tuple[int, int, int]:
        beaten = sum(one.name in other.over and other.stage <= one.stage for other in candidates)
        return one.stage, beaten, order.get(one.name, -1)

    ranked = sorted(candidates, key=rank)
    return [(one, one.name in ranked[0].over) for one in ranked]


def _told(ranked: list[tuple[_Candidate, bool]], reading: Reading) -> Failure:
    best = ranked[0][0]
    others = tuple(
        Alternative(one.name, one.cause, one.evidence, _why(best, one, narrower))
        for one, narrower in ranked[1:]
    )
    failure = Failure(best.name, best.cause, best.remedy, best.evidence, others)
    failure = _with_cure(failure, reading)
    return _with_host_memory(_with_held_memory(failure, reading), reading)


def _why(best: _Candidate, other: _Candidate, narrower: bool) -> str:
    if other.stage > _END:
        return "a process that was killed from outside did not end of it"
    if best.stage < other.stage:
        return STAGES[best.stage].outranks if best.stage < _END else "the end says more"
    if narrower:
        return "it says the same in more detail"
    return f"both belong to one stage ({STAGES[best.stage].title}), and it is listed first there"


def _with_cure(failure: Failure, reading: Reading) -> Failure:
    """Say which version cures it, and which one the log is of."""
    row = next((row for row in KNOWN if row.name == failure.name), None)
    told = [said for cure in row.cures if (said := _of_cure(cure, failure, reading))] if row else []
    if not told:
        return failure
    return replace(failure, remedy=f"{failure.remedy}; {'; '.join(told)}")


def _of_cure(cure: Cure, failure: Failure, reading: Reading) -> str:
    if not re.search(cure.sign, failure.evidence):
        return ""
    cured = f"cured in {cure.program} {cure.version}"
    have = reading.versions.get(cure.program)
    if have is None:
        return "" if cure.since else cured
    if cure.since and is_older(have, cure.since):
        return ""
    if is_older(have, cure.version):
        return f"you have {cure.program} {have}: it is {cured}"
    return "" if cure.since else f"you have {cure.program} {have}, newer than what cured others"


def _with_held_memory(failure: Failure, reading: Reading) -> Failure:
    """Say ``vram_held`` if less than half of a GPU's memory was free before the load."""
    if failure.name not in _ON_GPU or reading.held is None:
        return failure
    total, free = reading.held
    return replace(
        failure,
        name="vram_held",
        cause=f"another program holds most of the GPU's memory: {free} of {total} MiB were free",
        remedy="find it (fuser -v /dev/kfd /dev/dri/renderD*; rocm-smi --showpids) and end it",
        alternatives=(
            Alternative(
                failure.name,
                failure.cause,
                failure.evidence,
                "most of the memory was taken before the load began",
            ),
            *failure.alternatives,
        ),
    )


def _with_host_memory(failure: Failure, reading: Reading) -> Failure:
    """Say ``prompt_cache_memory`` if a killed server was keeping earlier prompts in host memory."""
    if failure.name not in ("killed", "killed_for_memory") or not reading.prompt_cache:
        return failure
    return replace(
        failure,
        name="prompt_cache_memory",
        cause="memory ran out while the server kept earlier prompts in host memory (its prompt "
        "cache, up to 8 GiB by default)",
        remedy="bound it: prompt_cache='2G', or 'off'; --cache-ram of llama-server, "
        "LLAMA_ARG_CACHE_RAM for Ollama; lower context_len, which makes each entry smaller",
        evidence=failure.evidence or reading.prompt_cache,
    )


def first_known(lines: Sequence[str], table: Sequence[KnownFailure] = KNOWN) -> Failure | None:
    """Return the failure of the first row of ``table`` that a line matches, wherever it is."""
    for known in table:
        for line in lines:
            if found := known.search(line):
                groups = {name: value for name, value in found.groupdict().items() if value}
                return Failure(known.name, *_words(known, groups), line.strip())
    return None


def runs_without_gpu(reading: Reading, engine: str | None = None) -> Failure | None:
    """Return why a server that started runs without a GPU, as far as its log says."""
    found = {**reading.before, **reading.found}
    of_engine = [m for m in found.values() if engine is None or m.row.backend in ("", engine)]
    away = [_candidate(match) for match in of_engine if match.stage == DEGRADED]
    return _told(_ranked(away), reading) if away else None


def error_lines(log: Sequence[str], limit: int = 3) -> list[str]:
    """Return the last ``limit`` distinct error lines of a log, oldest first.

    Leaves out lines that only follow from an earlier error. Falls back on the last line of the
    log; empty for an empty log. Terminal colors are removed.
    """
    said = [text for line in log if (text := plain(line))]
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
