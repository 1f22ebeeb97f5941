"""Shuffled, cut, wrapped and endless logs: the same winner, in bounded time and memory."""

from __future__ import annotations

import json
import random
import time
import tracemalloc
from collections.abc import Iterable, Iterator

import pytest

from rocm_core.diagnosis.explain import explain_failure
from rocm_core.diagnosis.search import read_log
from tests.support.failure_logs import FailureLog, failure_logs, healthy_logs

LOGS = failure_logs()
SUCCESS = ("listening on", "model loaded", "retrying without", "runner started in")
# Without those whose order tells that an error was overcome, or that carry a wrapper of their own.
UNORDERED = [log for log in LOGS if not any(s in "\n".join(log.lines) for s in SUCCESS)]
BARE = [log for log in UNORDERED if not any("=" in line or "[" in line for line in log.lines)]
# Lines that say something beside a failure: a build without a GPU, variables, free memory, an
# allocation that a later line (one of ``SUCCESS``) says was retried.
TELLING = ("warning:", "HSA_OVERRIDE", "MiB free)", "ErrorOutOfDeviceMemory")
NOISE = [
    line
    for log in healthy_logs()
    for line in log.lines
    if not any(sign in line for sign in (*SUCCESS, *TELLING))
]
# Named after two lines, of which a cut may take one.
OF_TWO_LINES = ("prompt_cache_memory", "vram_held")

WRAPPERS = {
    "journald": "Mar 24 21:17:29 host ollama[2742]: {}",
    "docker compose": "llama-1  | {}",
    "docker logs -t": "2026-01-03T14:00:08.996532Z {}",
    "CRI": "2026-01-03T14:00:08.996532Z stderr F {}",
    "lemonade": "2026-06-11 10:38:30.912 [Info] (Process) {}",
    "Jan": "[2026-07-10][00:16:41][tauri_plugin_llamacpp::commands][INFO] {}",
    "LM Studio": "[LM STUDIO SERVER] [ERROR] {}",
    "LocalAI": "3:34PM DBG GRPC(model-127.0.0.1:34785): stderr {}",
    "router": "[44399] {}",
    "journald, then Docker": "Mar 24 21:17:29 host dockerd[2742]: llama-1  | {}",
    "colors": "\x1b[31m{}\x1b[0m",
}


def winner(log: FailureLog, lines: Iterable[str] | None = None) -> str | None:
    said = log.lines if lines is None else lines
    failure = explain_failure(said, log.returncode, log.environment, log.kernel_log or None)
    return failure.name if failure else None


def padded(lines: list[str], size: int) -> Iterator[str]:
    """Yield noise, the lines, and as much noise again; it is never held as a whole."""
    for part in (lines, []):
        told = 0
        while told < size // 2:
            for line in NOISE:
                told += len(line) + 1
                yield line
        yield from part


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_lines_does_not_matter(seed: int) -> None:
    chance = random.Random(seed)
    for log in UNORDERED:
        lines = chance.sample(log.lines, len(log.lines))
        assert winner(log, lines) == log.name, log.source


@pytest.mark.parametrize("seed", range(5))
def test_a_log_may_be_cut_anywhere_but_in_what_it_says(seed: int) -> None:
    chance = random.Random(seed)
    for log in UNORDERED:
        failure = explain_failure(log.lines, log.returncode, log.environment, log.kernel_log)
        assert failure is not None
        kept = [line for line in log.lines if failure.evidence in line or chance.random() < 0.5]
        half = [line[: chance.randrange(len(line) + 1)] for line in kept]
        explain_failure(half, log.returncode)  # whatever it finds, it raises nothing
        alone = failure.evidence and not failure.alternatives and failure.name not in OF_TWO_LINES
        if alone and any(failure.evidence in line for line in kept):
            assert winner(log, kept) == log.name, log.source


@pytest.mark.parametrize("wrapper", WRAPPERS.values(), ids=WRAPPERS)
def test_what_other_programs_put_around_a_line_does_not_matter(wrapper: str) -> None:
    assert len(BARE) > 40
    for log in BARE:
        assert winner(log, [wrapper.format(line) for line in log.lines]) == log.name, log.source


def test_lines_in_quotes_of_another_log_are_found() -> None:
    for log in BARE:
        text = "\n".join(log.lines)
        slog = f'time=2026-03-14T16:59:15Z level=ERROR msg="load failed" error={json.dumps(text)}'
        docker = json.dumps({"log": text + "\n", "stream": "stderr", "time": "2026-03-14"})
        assert winner(log, [slog]) == log.name, log.source
        assert winner(log, [docker]) == log.name, log.source


def test_a_text_is_read_like_its_lines() -> None:
    for log in LOGS:
        assert winner(log, "\n".join(log.lines)) == winner(log), log.source


def test_random_bytes_raise_nothing() -> None:
    chance = random.Random(27)
    for _ in range(300):
        text = bytes(chance.randrange(256) for _ in range(400)).decode("utf-8", "replace")
        explain_failure(text, chance.choice([None, 1, -9, 132, -(1 << 31), 0xC0000005]))


def test_noise_around_a_line_changes_nothing() -> None:
    for log in UNORDERED[::6]:
        assert winner(log, padded(log.lines, 200_000)) == log.name, log.source


@pytest.mark.slow
def test_a_hundred_megabytes_take_seconds() -> None:
    began = time.process_time()  # not that of other programs
    reading = read_log(padded(["libvulkan.so.1: cannot open shared object file"], 100 << 20))
    assert "missing_vulkan_loader" in reading.found
    assert time.process_time() - began < 90


def test_memory_does_not_grow_with_the_log() -> None:
    line = "libvulkan.so.1: cannot open shared object file"
    read_log([line])  # what is compiled and kept
    tracemalloc.start()
    read_log(padded([line], 4 << 20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize(
    "line",
    [
        "failed to allocate " * 200_000,
        "[a] " * 500_000,
        '"' + "\\" * 2_000_000,
        'error="' * 300_000,
        "/dev/kfd " * 40_000,
        "unable to allocate ROCm" + "0" * 2_000_000,
        "2026-01-03T14:00:08Z " * 100_000,
    ],
    ids=lambda line: line[:12],
)
def test_no_line_is_slow(line: str) -> None:
    began = time.monotonic()
    explain_failure([line])
    assert time.monotonic() - began < 20
