"""The doctor's engine part: played engines of every build."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rocm_core.doctor.engines import Engines, Findings, engine_checks, find_engines
from rocm_core.engine.installed import choice
from rocm_core.engine.locate import Engine
from rocm_core.errors import EngineNotFound
from rocm_core.gpu import Selection, list_gpus, select_gpus
from tests.support.gpu_trees import build
from tests.support.servers.fake_engines import (
    EMPTY,
    NO_DEVICE,
    NOT_LOADED,
    RX_6800,
    VULKAN,
    amd,
    bundle,
    library,
    program,
)

NOTHING: dict[str, str] = {"PATH": ""}


def xtx(tmp_path: Path) -> Selection:
    return select_gpus(list_gpus(build("rx_7900_xtx", tmp_path / "machine")), env={})


def engine_part(path: Path | None, selection: Selection, env: dict[str, str]) -> Findings:
    # The embedded engine has its say in the tests of this machine, below.
    engines = replace(find_engines(env, path), embedded=EngineNotFound("no xllamacpp. Install it"))
    return engine_checks(engines, selection, env)


@pytest.fixture
def no_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


def test_a_hip_build_that_covers_the_card(tmp_path: Path) -> None:
    engine = program(tmp_path, RX_6800)
    library(tmp_path, "libggml-hip.so", bundle(*amd("gfx1030", "gfx1100")))
    found = engine_part(Path(engine.argv[0]), xtx(tmp_path), {})
    backend, code = found.gpu
    assert backend.status == "ok"
    assert "HIP sees ROCm0 AMD Radeon RX 6800 (16342 of 16368 MiB free)" in backend.detail
    assert code.detail == "code for gfx1030, gfx1100"
    assert found.seeing_gpu == {"binary"}
    assert "version 8204" in found.engines[0].detail


def test_a_hip_build_for_other_cards(tmp_path: Path) -> None:
    engine = program(tmp_path, RX_6800)
    library(tmp_path, "libggml-hip.so", bundle(*amd("gfx1151")))
    code = engine_part(Path(engine.argv[0]), xtx(tmp_path), {}).gpu[1]
    assert code.status == "failed"
    assert "gfx1100 is not among the targets of the build: gfx1151" in code.detail
    assert "Vulkan" in code.remedy


def test_a_rocblas_for_other_cards(tmp_path: Path) -> None:
    engine = program(tmp_path, RX_6800)
    library(tmp_path, "libggml-hip.so", bundle(*amd("gfx1100")))
    (tmp_path / "rocblas/library").mkdir(parents=True)
    (tmp_path / "rocblas/library/TensileLibrary_lazy_gfx1030.dat").touch()
    code = engine_part(Path(engine.argv[0]), xtx(tmp_path), {}).gpu[1]
    assert code.status == "warning"
    assert "no kernels for gfx1100" in code.detail


def test_a_hip_build_that_does_not_tell(tmp_path: Path) -> None:
    engine = program(tmp_path, RX_6800)
    library(tmp_path, "libggml-hip.so")
    assert engine_part(Path(engine.argv[0]), xtx(tmp_path), {}).gpu[1].status == "warning"


@pytest.mark.parametrize(
    ("output", "ending", "words"),
    [
        (NO_DEVICE, "exit 0", "ROCm found no GPU"),
        (NOT_LOADED, "exit 0", "libamdhip64.so.7"),
        ("", "kill -SEGV $$", "SIGSEGV"),
        ("Available devices:\n", "exit 0", "sees no device"),
    ],
)
def test_a_hip_build_that_sees_no_gpu(tmp_path: Path, output: str, ending: str, words: str) -> None:
    engine = program(tmp_path, output, ending)
    library(tmp_path, "libggml-hip.so")
    found = engine_part(Path(engine.argv[0]), xtx(tmp_path), {})
    assert found.gpu[0].status == "failed"
    assert words in found.gpu[0].detail
    assert found.gpu[0].remedy
    assert not found.seeing_gpu


def played_as_embedded(directory: Path, output: str) -> Engine:
    """The embedded engine, with a program in place of the package."""
    return Engine("embedded", program(directory, output).argv, "package xllamacpp")


def test_without_a_program_the_embedded_engine_is_judged(tmp_path: Path) -> None:
    embedded = played_as_embedded(tmp_path, VULKAN)
    engines = Engines(EngineNotFound("no llama-server found. Install one"), embedded, named=False)
    found = engine_checks(engines, xtx(tmp_path), {})
    assert found.gpu[0].status == "ok"
    assert "Vulkan sees Vulkan0" in found.gpu[0].detail
    assert found.seeing_gpu == {"embedded"}


def test_beside_a_cpu_build_the_embedded_engine_is_the_remedy(tmp_path: Path) -> None:
    binary = program(tmp_path / "cpu", EMPTY)
    embedded = played_as_embedded(tmp_path, VULKAN)
    found = engine_checks(Engines(binary, embedded, named=False), xtx(tmp_path), {})
    assert found.gpu[0].status == "failed"
    assert "engine='embedded'" in found.gpu[0].remedy


def test_a_cpu_build_is_told_with_what_to_install(tmp_path: Path) -> None:
    engine = program(tmp_path, "Available devices:\n")
    backend, code = engine_part(Path(engine.argv[0]), xtx(tmp_path), {}).gpu
    assert backend.status == "failed"
    assert "a CPU build" in backend.detail
    assert "GGML_HIP=ON" in backend.remedy
    assert code.status == "skipped"


def test_a_cpu_build_is_right_where_there_is_no_gpu(tmp_path: Path) -> None:
    engine = program(tmp_path, "Available devices:\n")
    backend = engine_part(Path(engine.argv[0]), select_gpus([], env={}), {}).gpu[0]
    assert backend.status == "skipped"


def test_a_vulkan_build_is_usable_without_a_compute_driver(tmp_path: Path) -> None:
    engine = program(tmp_path, VULKAN)
    library(tmp_path, "libggml-vulkan.so")
    nothing = select_gpus([], env={})
    found = engine_part(Path(engine.argv[0]), nothing, {})
    assert found.gpu[0].status == "ok"
    assert "Vulkan sees Vulkan0" in found.gpu[0].detail
    assert found.seeing_gpu == {"binary"}


def test_the_chosen_gpus_alone_are_shown_to_the_program(tmp_path: Path) -> None:
    engine = program(tmp_path, "", 'echo "mask $ROCR_VISIBLE_DEVICES"; exit 3')
    selection = xtx(tmp_path)
    backend = engine_part(Path(engine.argv[0]), selection, {}).gpu[0]
    assert selection[0].uuid
    assert f"mask {selection[0].uuid}" in backend.detail


@pytest.mark.usefixtures("no_embedded")
def test_nothing_installed(tmp_path: Path) -> None:
    found = engine_part(None, xtx(tmp_path), NOTHING)
    llama_server, embedded = found.engines
    assert llama_server.status == "failed"
    assert "llama-rocm[embedded]" in llama_server.remedy
    assert embedded.status == "skipped"
    assert [check.status for check in found.gpu] == ["skipped", "skipped"]


@pytest.mark.engine
def test_a_wrong_path_is_a_failure_even_beside_the_embedded_engine(tmp_path: Path) -> None:
    found = engine_checks(find_engines({}, tmp_path / "gone"), xtx(tmp_path), {})
    assert found.engines[0].status == "failed"
    assert "does not exist" in found.engines[0].detail
    assert found.engines[0].remedy


def test_a_card_whose_memory_another_program_holds(tmp_path: Path) -> None:
    engine = program(tmp_path, RX_6800.replace("16342 MiB free", "512 MiB free"))
    library(tmp_path, "libggml-vulkan.so")
    backend = engine_part(Path(engine.argv[0]), xtx(tmp_path), {}).gpu[0]
    assert backend.status == "warning"
    assert "512 of 16368 MiB free" in backend.detail
    assert "another program holds more than half" in backend.remedy


def test_a_software_device_is_said_to_be_one(tmp_path: Path) -> None:
    listed = "  Vulkan0: llvmpipe (LLVM 15.0.6, 256 bits) (2048 MiB, 2048 MiB free)\n"
    engine = program(tmp_path, EMPTY + listed)
    library(tmp_path, "libggml-vulkan.so")
    found = engine_part(Path(engine.argv[0]), xtx(tmp_path), {})
    assert found.gpu[0].status == "failed"
    assert "sees only Vulkan0 llvmpipe" in found.gpu[0].detail
    assert "a software device, which computes on the CPU" in found.gpu[0].detail
    assert "llama-rocm setup" in found.gpu[0].remedy
    assert not found.seeing_gpu


def test_the_engine_that_a_model_gets_is_named_with_the_reason(tmp_path: Path) -> None:
    engine = program(tmp_path, RX_6800)
    checks = engine_part(Path(engine.argv[0]), xtx(tmp_path), {}).engines
    (chosen,) = [check for check in checks if check.name == "engine_choice"]
    assert chosen.detail == f"{engine.argv[0]} (server_path): named by server_path"


def test_different_builds_are_named_and_equal_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (program(tmp_path / name, EMPTY) for name in ("first", "second"))
    monkeypatch.setattr(choice, "installed_engines", lambda *_: iter([first, second]))

    def told() -> list[str]:
        checks = engine_part(None, xtx(tmp_path), {}).engines
        return [check.detail for check in checks if check.name == "engine_builds"]

    assert told() == []
    file = Path(second.argv[0])
    file.write_text(file.read_text().replace("version: 8204", "version: 11549"))
    (text,) = told()
    assert text.startswith("different builds are installed, and a model gets the first: ")
    assert f"{first.place}: 8204 (7a99dc85e)" in text
    assert f"{second.place}: 11549 (7a99dc85e)" in text
