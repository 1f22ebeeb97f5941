"""The doctor: recorded machines, played engines, and this machine as it is."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rocm_core import LoadConfig, Server, doctor, resolve_ref
from rocm_core.cli import main
from rocm_core.config import Engine
from rocm_core.doctor import run_doctor, worst
from rocm_core.doctor.engines import Findings, engine_checks, find_engines
from rocm_core.doctor.machine import machine_checks
from rocm_core.doctor.runs import run_checks
from rocm_core.errors import EngineNotFound
from rocm_core.gpu import Selection, kfd_problem, list_gpus, select_gpus
from rocm_core.types import Check
from tests.engine.test_probe import amd, bundle
from tests.support.engines import HAS_BINARY, NO_BINARY
from tests.support.gpu_trees import MACHINES, build
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_engines import (
    NO_DEVICE,
    NOT_LOADED,
    RX_6800,
    VULKAN,
    library,
    program,
)

needs_binary = pytest.mark.skipif(not HAS_BINARY, reason=NO_BINARY)
no_gpu_here = pytest.mark.skipif(kfd_problem() is None, reason="this machine has an AMD GPU")
COMMAND = [sys.executable, "-c", "from rocm_core.cli import main; raise SystemExit(main())"]
NOTHING: dict[str, str] = {"PATH": ""}


def by_name(checks: list[Check]) -> dict[str, Check]:
    assert len({check.name for check in checks}) == len(checks)
    return {check.name: check for check in checks}


def examine(name: str, tmp_path: Path, **options: Any) -> dict[str, Check]:
    return by_name(run_doctor(build(name, tmp_path), **options))


# -- the machine part ------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(MACHINES))
def test_a_recorded_machine_is_described_and_no_failure_lacks_its_remedy(
    tmp_path: Path, name: str
) -> None:
    root = build(name, tmp_path)
    checks = run_doctor(root)
    assert [c.name for c in checks] == [
        "kernel_driver",
        "kfd",
        "gpus",
        "gpu_choice",
        "gpu_environment",
    ]
    assert all(c.remedy for c in checks if c.status in ("failed", "warning"))
    usable = select_gpus(list_gpus(root), env={})
    assert (worst(checks) == "failed") == (not usable)
    for gpu in usable:
        assert gpu.label in by_name(checks)["gpu_choice"].detail


def test_the_integrated_gpu_beside_a_card_is_named_with_the_reason(tmp_path: Path) -> None:
    choice = examine("rx_7800_xt_first", tmp_path)["gpu_choice"]
    assert choice.status == "ok"
    assert "7800 XT" in choice.detail
    assert "not GPU 1" in choice.detail
    assert "there is a card" in choice.detail


def test_allow_cpu_softens_a_machine_without_a_gpu(tmp_path: Path) -> None:
    root = build("no_gpu", tmp_path)
    assert worst(run_doctor(root)) == "failed"
    assert worst(run_doctor(root, allow_cpu=True)) == "warning"


def test_a_container_without_render_node_gets_the_flags(tmp_path: Path) -> None:
    gpus = examine("without_render_node", tmp_path)["gpus"]
    assert gpus.status == "failed"
    assert "--device /dev/dri" in gpus.remedy


def test_one_of_two_render_nodes_is_a_warning(tmp_path: Path) -> None:
    found = examine("one_of_two_render_nodes", tmp_path)
    assert found["gpus"].status == "warning"
    assert found["gpu_choice"].status == "ok"


def write(root: Path, path: str, content: str = "") -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(content)


def driver(root: Path) -> Check:
    return by_name(run_doctor(root))["kernel_driver"]


def test_a_driver_that_is_not_loaded(tmp_path: Path) -> None:
    write(tmp_path, "sys/bus/pci/devices/0000:03:00.0/vendor", "0x1002\n")
    write(tmp_path, "sys/bus/pci/devices/0000:03:00.0/class", "0x030000\n")
    write(tmp_path, "sys/bus/pci/devices/0000:01:00.0/vendor", "0x1022\n")
    found = driver(tmp_path)
    assert found.status == "failed"
    assert "not loaded" in found.detail
    assert "0000:03:00.0" in found.detail
    assert "modprobe amdgpu" in found.remedy


def test_no_amd_card_at_all(tmp_path: Path) -> None:
    write(tmp_path, "sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n")
    write(tmp_path, "sys/bus/pci/devices/0000:01:00.0/class", "0x030000\n")
    found = by_name(run_doctor(tmp_path))
    assert "no AMD card" in found["kernel_driver"].detail
    assert [found[n].status for n in ("kfd", "gpus", "gpu_choice")] == ["skipped"] * 3


@pytest.mark.parametrize(
    ("path", "content"),
    [("dev/dxg", ""), ("proc/sys/kernel/osrelease", "5.15.167.4-microsoft-standard-WSL2\n")],
)
def test_wsl(tmp_path: Path, path: str, content: str) -> None:
    write(tmp_path, path, content)
    found = driver(tmp_path)
    assert "WSL" in found.detail
    assert "librocdxg" in found.remedy


def test_the_drivers_version_or_the_kernels(tmp_path: Path) -> None:
    write(tmp_path, "sys/module/amdgpu/version", "6.16.13\n")
    assert driver(tmp_path).detail == "amdgpu version 6.16.13"
    (tmp_path / "sys/module/amdgpu/version").unlink()
    write(tmp_path, "proc/sys/kernel/osrelease", "6.17.0-14-generic\n")
    assert driver(tmp_path).detail == "amdgpu of Linux 6.17.0-14-generic"


@pytest.mark.parametrize(
    ("marker", "words"), [("run/.containerenv", "--device /dev/kfd"), ("etc/x", "dmesg")]
)
def test_no_kfd_is_told_apart_in_a_container(tmp_path: Path, marker: str, words: str) -> None:
    root = build("rx_7900_xtx", tmp_path)
    (root / "dev/kfd").unlink()
    write(root, marker)
    kfd = by_name(run_doctor(root))["kfd"]
    assert kfd.status == "failed"
    assert words in kfd.remedy


@pytest.mark.parametrize(
    ("container", "groups", "words"),
    [
        (True, [], "--group-add"),
        (False, [], "usermod -aG"),
        (False, None, "chmod g+rw"),
    ],
)
def test_no_permission_for_kfd(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    container: bool,
    groups: list[int] | None,
    words: str,
) -> None:
    root = build("rx_7900_xtx", tmp_path)
    if container:
        write(root, ".dockerenv")
    mine = [(root / "dev/kfd").stat().st_gid] if groups is None else groups
    monkeypatch.setattr("os.getgroups", lambda: mine)
    monkeypatch.setattr("os.access", lambda path, mode: not str(path).endswith("/dev/kfd"))
    monkeypatch.setattr("rocm_core.doctor.machine._is_listed", lambda group: False)
    kfd = by_name(run_doctor(root))["kfd"]
    assert kfd.detail == "no permission for /dev/kfd"
    assert words in kfd.remedy


def test_a_new_member_of_the_group_must_log_in_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = build("rx_7900_xtx", tmp_path)
    monkeypatch.setattr("os.getgroups", list)
    monkeypatch.setattr("os.access", lambda path, mode: not str(path).endswith("/dev/kfd"))
    monkeypatch.setattr("rocm_core.doctor.machine._is_listed", lambda group: True)
    assert "log out and in again" in by_name(run_doctor(root))["kfd"].remedy


def test_masks_in_force_are_told(tmp_path: Path) -> None:
    env = {"HIP_VISIBLE_DEVICES": "1", "HSA_OVERRIDE_GFX_VERSION_1": "10.3.0", "HOME": "/x"}
    found = examine("rx_7800_xt_first", tmp_path, env=env)["gpu_environment"]
    assert "HIP_VISIBLE_DEVICES=1" in found.detail
    assert "HSA_OVERRIDE_GFX_VERSION_1=10.3.0" in found.detail
    assert "HOME" not in found.detail


def test_a_mask_that_hides_everything_fails_the_choice(tmp_path: Path) -> None:
    found = examine("rx_7900_xtx", tmp_path, env={"ROCR_VISIBLE_DEVICES": ""})
    assert found["gpu_choice"].status == "failed"
    assert "ROCR_VISIBLE_DEVICES" in found["gpu_choice"].remedy
    assert found["gpu_environment"].status == "warning"


# -- the engine part -------------------------------------------------------------------------


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


def test_a_wrong_path_is_a_failure_even_beside_the_embedded_engine(tmp_path: Path) -> None:
    found = engine_checks(find_engines({}, tmp_path / "gone"), xtx(tmp_path), {})
    assert found.engines[0].status == "failed"
    assert "does not exist" in found.engines[0].detail
    assert found.engines[0].remedy


# -- the run part ----------------------------------------------------------------------------


def test_a_program_that_does_not_answer(tmp_path: Path) -> None:
    path = program(tmp_path, "").argv[0]
    Path(path).write_text(
        "#!/bin/sh\n[ $1 = --help ] && echo '-m, --model x' && exit\n"
        "echo \"error loading model: unknown model architecture: 'x'\"; exit 1\n"
    )
    engines = find_engines({}, path).found[:1]
    checks = by_name(run_checks(engines, (), {}))
    answer = checks["answer_of_llama_server"]
    assert answer.status == "failed"
    assert "does not know the architecture x" in answer.detail
    assert answer.remedy == "use a newer llama.cpp build"


@needs_binary
def test_a_program_that_sees_a_gpu_and_does_not_use_it() -> None:
    engines = find_engines({}, None).found[:1]
    checks = by_name(run_checks(engines, ("binary",), {}))
    answer = checks["answer_of_llama_server"]
    assert answer.status == "failed"
    assert "on the CPU" in answer.detail
    assert "server_path=" in answer.remedy


@pytest.mark.parametrize(
    ("directory", "status", "words"),
    [("models", "ok", "holds 1 model"), ("gone", "failed", "is no directory")],
)
def test_the_model_directory(tmp_path: Path, directory: str, status: str, words: str) -> None:
    write(tmp_path, "models/a.gguf")
    write(tmp_path, "models/mmproj-a.gguf")
    env = {"ROCM_MODEL_DIR": str(tmp_path / directory)}
    check = run_checks([], (), env)[0]
    assert (check.name, check.status) == ("model_directory", status)
    assert words in check.detail


def test_no_place_for_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_place() -> Path:
        raise OSError("no writable directory")

    monkeypatch.setattr("rocm_core.supervisor.socket_dir.create", no_place)
    check = run_checks([], (), {})[1]
    assert (check.name, check.status) == ("runtime_directory", "failed")
    assert "XDG_RUNTIME_DIR" in check.remedy


# -- this machine, as a user asks it ---------------------------------------------------------


def command(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "doctor", *args], capture_output=True, text=True, timeout=120, check=False
    )


@no_gpu_here
def test_this_machine_has_no_gpu_and_its_cpu_engines_work() -> None:
    done = command("--json")
    assert done.returncode == 1
    found = {check["name"]: check for check in json.loads(done.stdout)}
    assert found["kernel_driver"]["status"] == "failed"
    assert found["kernel_driver"]["remedy"]
    answers = [check for name, check in found.items() if name.startswith("answer_")]
    assert answers
    for answer in answers:
        assert answer["status"] == "ok", answer
        assert re.search(r"one token in \d+ ms \(.+\), on the CPU", answer["detail"]), answer


@no_gpu_here
def test_with_allow_cpu_that_is_fine() -> None:
    done = command("--allow-cpu")
    assert done.returncode == 0
    assert "warn" in done.stdout
    assert "FAIL" not in done.stdout
    assert "→" in done.stdout
    assert done.stdout.rstrip().endswith("It works, with the warnings above.")


def test_a_recorded_machine_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--root", str(build("rx_7900_xtx", tmp_path))]) == 0
    said = capsys.readouterr().out
    assert "RX 7900 XTX" in said
    assert "llama_server" not in said
    assert said.rstrip().endswith("All is well.")


def test_a_running_server_is_checked_instead(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = Server(resolve_ref(RECITER), LoadConfig(engine=engine, port=0))
    with contextlib.ExitStack() as ending:
        ending.callback(there.stop)
        there.start()
        key = there.api_key or ""
        monkeypatch.setenv("THE_KEY", key)
        command = ["doctor", "--url", there.url or "", "--dry-run", "--api-key-env"]
        assert main([*command, "THE_KEY"]) == 0
        said = capsys.readouterr().out
        assert "ok    dry_run" in said
        assert key not in said
        monkeypatch.setenv("THE_KEY", "another")
        assert main([*command, "THE_KEY"]) == 1
        assert "FAIL  authenticated" in capsys.readouterr().out
    assert main([*command, "NO_SUCH_VARIABLE"]) == 1
    assert "NO_SUCH_VARIABLE is not set" in capsys.readouterr().err


def test_the_face() -> None:
    assert set(doctor.__all__) == {"run_doctor", "worst"}
    assert worst([]) == "ok"
    assert machine_checks("/nonexistent", {}, None)[0][0].status == "failed"
