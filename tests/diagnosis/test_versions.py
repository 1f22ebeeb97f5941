"""A log's own version is held against the one that cured its failure."""

from __future__ import annotations

import re

import pytest

from rocm_core.diagnosis.explain import explain_failure
from rocm_core.diagnosis.search import read_log
from rocm_core.diagnosis.table import KNOWN
from rocm_core.diagnosis.versions import is_older, versions_in

VULKAN = "ggml_vulkan: device Vulkan0 does not support 16-bit storage."
MXFP4 = (
    "gguf_init_from_file_impl: tensor 'blk.0.ffn_down_exps.weight' has invalid ggml type 39 (NONE)"
)


@pytest.mark.parametrize(
    ("line", "program", "version"),
    [
        ("build: 6795 (ee09828c) with cc 11.4.0 for x86_64-linux-gnu", "llama.cpp", "b6795"),
        ("main: build = 2589 (52604860)", "llama.cpp", "b2589"),
        ("version: 9174 (59778f019)", "llama.cpp", "b9174"),
        ("build_info: b8833-45cac7ca7", "llama.cpp", "b8833"),
        ('INFO [main] build info | build=3051 commit="5921b8f0"', "llama.cpp", "b3051"),
        (r".\llama-b9174-bin-win-hip-radeon-x64\llama-server -m x", "llama.cpp", "b9174"),
        ('msg="Listening on 127.0.0.1:11434 (version 0.30.1)"', "Ollama", "0.30.1"),
        ("ollama version is 0.5.7", "Ollama", "0.5.7"),
        ("[LM Studio 0.3.16] started", "LM Studio", "0.3.16"),
        ("rocBLAS error: Cannot read /opt/rocm-6.4.1/lib/rocblas", "ROCm", "6.4.1"),
        ("HIP version: 6.2.41133-dd7f95766", "ROCm", "6.2"),
    ],
)
def test_versions_of_a_log(line: str, program: str, version: str) -> None:
    assert dict(versions_in(line)) == {program: version}
    assert read_log(f"host ollama[3]: {line}").versions == {program: version}


@pytest.mark.parametrize(
    "line",
    [
        "build: 1 (f667f1e) with cc for x86_64-linux-gnu",  # does not know its number
        "ggml_vulkan: GGUF version: 3 (latest)",
        "print_info: file format = GGUF V3 (latest)",
        'time=2025 msg="server listening" version: 12',
    ],
)
def test_other_numbers_are_none(line: str) -> None:
    assert dict(versions_in(line)) == {}


def test_the_order_of_versions() -> None:
    assert is_older("b999", "b6500")
    assert is_older("0.9.6", "0.30")
    assert not is_older("b6500", "b6500")
    assert is_older("0.30", "0.30.2")


@pytest.mark.parametrize(
    ("build", "told"),
    [
        ("build: 6402 (abcdef12)", "you have llama.cpp b6402: it is cured in llama.cpp b6500"),
        ("build: 7000 (abcdef12)", "you have llama.cpp b7000, newer than what cured others"),
        ("no build here", "; cured in llama.cpp b6500"),
    ],
)
def test_what_is_said_of_the_cure(build: str, told: str) -> None:
    failure = explain_failure([build, VULKAN], 1)
    assert failure is not None
    assert failure.name == "vulkan_unsupported_device"
    assert failure.remedy.endswith(told)


def test_a_cure_of_one_cause_of_several() -> None:
    mxfp4 = explain_failure(["build: 5000 (abcdef12)", MXFP4], 1)
    assert mxfp4 is not None
    assert "you have llama.cpp b5000: it is cured in llama.cpp b6096" in mxfp4.remedy
    other = explain_failure(["build: 5000 (abcdef12)", MXFP4.replace("39", "42")], 1)
    assert other is not None
    assert "you have" not in other.remedy


@pytest.mark.parametrize(("number", "told"), [(9281, False), (9282, True), (9283, False)])
def test_a_fault_of_some_versions_only(number: int, told: bool) -> None:
    line = "libllama.so.0: cannot open shared object file: No such file or directory"
    failure = explain_failure([f"build: {number} (abcdef12)", line], 127)
    assert failure is not None
    assert ("cured in llama.cpp b9283" in failure.remedy) is told


def test_cures_are_of_programs_whose_version_is_read() -> None:
    for row in KNOWN:
        for cure in row.cures:
            assert cure.program in ("llama.cpp", "Ollama", "LM Studio", "ROCm"), row.name
            assert not cure.since or is_older(cure.since, cure.version)
            re.compile(cure.sign)
