"""What logs say: every known failure from recorded lines, nothing from noise."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rocm_core import LoadConfig, Server, resolve_ref
from rocm_core.diagnosis.explain import (
    describe_exit,
    error_lines,
    explain_failure,
)
from rocm_core.diagnosis.table import KNOWN
from rocm_core.errors import ServerStartError
from tests.support.failure_logs import failure_logs
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_engines import broken

LOGS = Path(__file__).parents[1] / "support" / "logs"


@dataclass(frozen=True)
class Recorded:
    name: str
    source: str
    returncode: int | None
    lines: list[str]


def recorded() -> Iterator[Recorded]:
    for block in (LOGS / "failures.txt").read_text().split("## ")[1:]:
        head, _, body = block.partition("\n")
        name, source, code = (part.strip() for part in head.split("|"))
        yield Recorded(name, source, int(code) if code else None, body.rstrip().splitlines())


def noise() -> list[str]:
    lines = (LOGS / "noise.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("# ")]


def healthy() -> list[Path]:
    return sorted(LOGS.glob("healthy.*.txt"))


CASES = list(recorded())
IDS = [f"{case.name}-{number}" for number, case in enumerate(CASES)]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_recorded_failure_is_recognized(case: Recorded) -> None:
    failure = explain_failure(case.lines, case.returncode)
    assert failure is not None
    assert failure.name == case.name
    assert failure.cause
    assert failure.remedy
    assert any(failure.evidence in line for line in case.lines)  # without what was around it


def test_every_row_of_the_table_has_a_recorded_line() -> None:
    shown = {case.name for case in CASES} | {log.name for log in failure_logs()}
    assert {known.name for known in KNOWN} <= shown


def test_every_row_names_a_source_and_every_name_is_there_once() -> None:
    assert all(known.source for known in KNOWN)
    assert len({known.name for known in KNOWN}) == len(KNOWN)


@pytest.mark.parametrize("line", noise())
def test_noise_is_no_failure(line: str) -> None:
    assert explain_failure([line]) is None


def test_all_the_noise_together_is_no_failure() -> None:
    assert len(noise()) >= 20
    assert explain_failure(noise()) is None
    assert explain_failure(noise(), 0) is None


@pytest.mark.parametrize("path", healthy(), ids=lambda path: path.name)
def test_the_log_of_a_healthy_load_is_no_failure(path: Path) -> None:
    assert explain_failure(path.read_text().splitlines()) is None


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_failure_stands_out_from_noise_colors_and_prefixes(case: Recorded) -> None:
    wrapped = [f"\x1b[31m[child 17] {line}\x1b[0m" for line in case.lines]
    failure = explain_failure([*noise(), *wrapped, *noise()[:3]], case.returncode)
    assert failure is not None
    assert failure.name == case.name


def test_what_was_overcome_does_not_explain_a_later_end() -> None:
    out_of_memory = "0.1 E ggml_gallocr_reserve_n_impl: failed to allocate ROCm0 buffer of size 5"
    retried = "0.2 W sched_reserve: compute buffer allocation failed, retrying without pipeline p"
    assert explain_failure([out_of_memory], 1)
    assert explain_failure([out_of_memory, f"{retried}arallelism", "0.3 I all well"]) is None
    loaded = [out_of_memory, "0.4 I srv  llama_server: model loaded"]
    assert explain_failure(loaded, 1) is None
    crash = explain_failure(loaded, -11)
    assert crash is not None
    assert (crash.name, crash.alternatives) == ("crashed", ())


def test_the_warning_of_a_build_without_a_gpu_ends_no_server() -> None:
    warning = "warning: no usable GPU found, --gpu-layers option will be ignored"
    killed = explain_failure([warning, "0.1 I srv    load_model: loading model 'a.gguf'"], -9)
    assert killed is not None
    assert killed.name == "killed"
    assert explain_failure([warning, "0.1 E srv    load_model: failed in a new way"], 1) is None
    assert explain_failure([warning]) is not None, "of a process that runs it says enough"


def test_gpus_that_are_hidden_on_purpose_end_no_server() -> None:
    lines = [
        "warning: no usable GPU found, --gpu-layers option will be ignored",
        "ggml_cuda_init: failed to initialize ROCm: no ROCm-capable device is detected",
    ]
    hidden = {"ROCR_VISIBLE_DEVICES": ""}
    memory = "0.01.66 E ggml_aligned_malloc: insufficient memory (attempted to allocate 4096.00 MB)"
    for log, code, name in [
        (lines, None, "gpus_hidden"),
        (lines, 1, "gpus_hidden"),
        ([*lines, memory], 1, "out_of_memory"),
        ([lines[0], memory], 1, "out_of_memory"),
    ]:
        failure = explain_failure(log, code, hidden)
        assert failure is not None
        assert failure.name == name
    assert explain_failure(lines[:1], 1, hidden) is None


def test_the_most_specific_cause_wins_whatever_the_order() -> None:
    lines = [
        "warning: no usable GPU found, --gpu-layers option will be ignored",
        "ggml_cuda_init: failed to initialize ROCm: no ROCm-capable device is detected",
        "Unable to open /dev/kfd read-write: Permission denied",
    ]
    for log in (lines, lines[::-1]):
        failure = explain_failure(log)
        assert failure is not None
        assert failure.name == "kfd_permission"
        assert "render,video" in failure.remedy


def test_what_the_line_names_is_in_the_cause() -> None:
    line = "rocBLAS error: Cannot read TensileLibrary.dat: Illegal seek for GPU arch : gfx1036"
    failure = explain_failure([line])
    assert failure is not None
    assert "gfx1036" in failure.cause
    loader = "srv: error while loading shared libraries: librocblas.so.5: cannot open shared object"
    failure = explain_failure([loader], 127)
    assert failure is not None
    assert "librocblas.so.5" in failure.cause


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (signal.SIGKILL, "killed"),
        (signal.SIGILL, "illegal_instruction"),
        (signal.SIGSEGV, "crashed"),
        (signal.SIGBUS, "crashed"),
        (signal.SIGABRT, "aborted"),
    ],
)
def test_a_signal_alone_can_explain(number: int, name: str) -> None:
    for code in (-number, 128 + number):  # a shell's and a container's way of saying it
        failure = explain_failure(["loading"], code)
        assert failure is not None
        assert failure.name == name
        assert failure.evidence == ""


def test_other_ends_without_a_known_line_stay_unexplained() -> None:
    assert explain_failure([], 1) is None
    assert explain_failure(["something new"], -signal.SIGTERM) is None
    assert explain_failure([], None) is None


def test_error_lines_are_causes_not_consequences() -> None:
    log = [
        "0.01 I srv: loading model",
        "0.02 E foo: tensor is upside down",
        "0.03 E llama_model_load_from_file_impl: failed to load model",
        "0.04 E srv  llama_server: exiting due to model loading error",
        "0.05 I srv: cleaning up before exit...",
    ]
    assert error_lines(log) == ["0.02 E foo: tensor is upside down"]
    assert error_lines(["one", "", "two  "]) == ["two"]
    assert error_lines([]) == []


def test_terminal_colors_are_no_part_of_the_log() -> None:
    """As llama-server (b11434) prints with ``--log-colors on``."""
    time, red, plain = "\x1b[34m0.00.007.458\x1b[0m ", "\x1b[31m", "\x1b[0m"
    text = "E srv  llama_server: error: invalid argument: --frobnicate"
    failure = explain_failure([f"{time}{red}{text}{plain}"], 1)
    assert failure == explain_failure([f"0.00.007.458 {text}"], 1)
    assert failure is not None
    assert failure.evidence == f"0.00.007.458 {text}"
    assert "--frobnicate" in failure.cause
    assert "\x1b" not in failure.cause
    loaded = f"{time}\x1b[32mI \x1b[0msrv  llama_server: model loaded{plain}"
    assert explain_failure([text, loaded], 1) is None
    assert error_lines([f"{time}{red}E foo: upside down{plain}", "bar"]) == [
        "0.00.007.458 E foo: upside down"
    ]


def test_an_unknown_failure_shows_the_last_error_lines(tmp_path: Path) -> None:
    said = "0.1 I all well\n0.2 E foo: tensor is upside down\n0.3 I cleaning up before exit..."
    path = broken(tmp_path, f"echo '{said}'\nexit 1")
    with pytest.raises(ServerStartError) as caught:
        Server(resolve_ref(RECITER), LoadConfig(server_path=path)).start()
    assert "exited with code 1: 0.2 E foo: tensor is upside down\n" in str(caught.value)


@pytest.mark.parametrize(
    ("code", "words"),
    [(None, "is still running"), (1, "exited with code 1"), (-6, "was ended by SIGABRT")],
)
def test_exit_codes_in_words(code: int | None, words: str) -> None:
    assert describe_exit(code) == words


def test_a_template_that_a_server_prints_explains_nothing() -> None:
    printed = [
        "{{ raise_exception('Conversation roles must alternate user/assistant/user/...') }}",
        '{{- raise_exception("System message must be at the beginning.") }}',
        '{{ raise_exception("Invalid content type") }}',
    ]
    assert explain_failure(printed) is None
