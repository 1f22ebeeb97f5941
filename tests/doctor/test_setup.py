"""``llama-rocm setup``: which engine fits a machine, the commands, and who is told what."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rocm_core.cli import main
from rocm_core.cli.report import setup as command
from rocm_core.diagnosis.gpu_use import Buffers
from rocm_core.doctor import run_doctor
from rocm_core.doctor.setup.advice import DRIVERS, VULKAN, Advice, Installed, Step, advise
from rocm_core.doctor.setup.site import Site, look_at_site
from rocm_core.doctor.setup.trial import Speed, Trial
from rocm_core.gpu import list_gpus
from tests.support.gpu_trees import build
from tests.support.machine import Machine, run_on
from tests.support.servers.fake_engines import cpu_program, vulkan_program

CPU = Installed("llama-server", problem="a CPU build")
IN_VAIN = Installed("llama-server", could=True, vulkan=True, problem="sees no device")


@pytest.fixture
def card(tmp_path: Path) -> Site:
    """A machine with a card, Mesa's driver for it, and the right to use both."""
    site = look_at_site(build("rx_7900_xtx", tmp_path))
    return replace(site, vulkan_drivers=("radeon_icd.x86_64.json",), glibc=(2, 35))


def test_the_wheel_with_vulkan_fits_a_card(card: Site) -> None:
    for engines in ((), (CPU,)):
        advice = advise(card, engines)
        assert advice.steps == (Step("pip", VULKAN),)
        assert "needs no ROCm and no compiler" in advice.reason
    assert "llama-server: a CPU build; " in advise(card, [CPU]).reason


@pytest.mark.parametrize("system", [*DRIVERS, "nixos"])
def test_the_driver_has_the_package_of_the_distribution(card: Site, system: str) -> None:
    bare = replace(card, vulkan_drivers=("lvp_icd.x86_64.json",), system=system)
    (pip, driver) = advise(bare, [CPU]).steps
    assert pip.command == VULKAN
    wanted = f"sudo {DRIVERS[system]}" if system in DRIVERS else "install Mesa's Vulkan driver"
    assert driver.command.startswith(wanted)
    # A loader without a driver: the engine is there, and only the driver is missing.
    assert advise(bare, [IN_VAIN]).steps == (driver,)


def test_an_engine_that_reaches_the_card_needs_nothing(card: Site) -> None:
    advice = advise(card, [CPU, Installed("mine", reaches="lists Vulkan0")])
    assert advice == Advice("mine", "lists Vulkan0")
    assert advice.line == ""


def test_an_engine_that_should_reach_it_and_does_not_is_no_reason_to_install_it_again(
    card: Site,
) -> None:
    (step,) = advise(card, [IN_VAIN]).steps
    assert "llama-rocm doctor" in step.command
    assert "pip" not in step.command


def test_a_named_engine_stands_in_the_way(card: Site) -> None:
    named = Installed("mine", problem="a CPU build", named="ROCM_LLAMA_SERVER_PATH")
    assert advise(card, [named]).line == f"{VULKAN}; then unset ROCM_LLAMA_SERVER_PATH"
    other = Installed("wheel", reaches="lists Vulkan0")
    advice = advise(card, [replace(named, named="server_path"), other])
    assert (advice.engine, advice.line) == ("wheel", "leave out server_path")
    assert "mine, which server_path names: a CPU build" in advice.reason
    assert advise(card, [replace(named, reaches="HIP"), other]).steps == ()


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        ({"kfd_problem": "no permission for /dev/kfd: add"}, "sudo usermod -aG render,video"),
        ({"kfd_problem": "no permission for /dev/kfd", "root": True}, "usermod -aG render"),
        ({"kfd_problem": "no permission for /dev/kfd", "container": True}, "start the container"),
        ({"kfd_problem": "/dev/kfd does not exist", "container": True}, "start the container"),
    ],
)
def test_what_closes_the_card_is_opened(card: Site, changes: dict[str, Any], command: str) -> None:
    assert advise(replace(card, **changes), [IN_VAIN]).steps[-1].command.startswith(command)
    assert advise(replace(card, **changes), []).steps[0].command == VULKAN


def test_a_card_without_its_driver(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.write("sys/bus/pci/devices/0000:03:00.0/vendor", "0x1002")
    machine.write("sys/bus/pci/devices/0000:03:00.0/class", "0x030000")
    advice = advise(look_at_site(tmp_path), [])
    assert advice.steps[-1].command == "sudo modprobe amdgpu"


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({"glibc": (2, 31)}, 'CMAKE_ARGS="-DGGML_VULKAN=ON'),
        ({"glibc": None}, 'CMAKE_ARGS="-DGGML_VULKAN=ON'),
        ({"machine": "Linux aarch64"}, 'CMAKE_ARGS="-DGGML_VULKAN=ON'),
        (
            {"machine": "Linux aarch64", "rocm": True},
            'CMAKE_ARGS="-DGGML_HIP=ON -DAMDGPU_TARGETS=gfx1100',
        ),
    ],
)
def test_where_the_wheel_does_not_fit_pip_compiles(
    card: Site, changes: dict[str, Any], first: str
) -> None:
    (step,) = advise(replace(card, **changes), []).steps
    assert step.kind == "pip"
    assert step.command.startswith(first)
    assert step.command.endswith('pip install "llama-rocm[server]"')


def test_an_accelerator_gets_rocm(tmp_path: Path) -> None:
    advice = advise(look_at_site(build("mi210_pair", tmp_path)), [])
    toolkit, pip = advice.steps
    assert "ROCm toolkit" in toolkit.command
    assert "-DGGML_HIP=ON -DAMDGPU_TARGETS=gfx90a" in pip.command


def test_wsl_and_no_card(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.write("proc/sys/kernel/osrelease", "5.15.0-microsoft-standard-WSL2")
    assert "librocdxg" in advise(look_at_site(tmp_path), [CPU]).line
    empty = look_at_site(build("no_gpu", tmp_path / "other"))
    assert advise(empty, [CPU]).steps == ()
    assert advise(empty, []).line.endswith('"llama-rocm[embedded]"')


def test_the_site_of_a_recorded_machine(tmp_path: Path) -> None:
    build("rx_7900_xtx", tmp_path)
    machine = Machine(tmp_path)
    machine.write("etc/os-release", 'NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"')
    machine.write("usr/share/vulkan/icd.d/radeon_icd.x86_64.json", "{}")
    machine.write("opt/rocm/core/bin/hipcc", "")
    site = look_at_site(tmp_path)
    assert (site.system, site.rocm, site.amdgpu, site.container) == ("debian", True, True, False)
    assert site.has_card
    assert site.has_vulkan_driver
    assert site.takes_wheel
    named = look_at_site(tmp_path, {"VK_DRIVER_FILES": "/x/lvp_icd.x86_64.json"})
    assert named.vulkan_drivers == ("lvp_icd.x86_64.json",)
    assert not named.has_vulkan_driver


# -- the commands --------------------------------------------------------------------------------


def test_setup_of_a_recorded_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["setup", "--root", str(build("rx_7900_xtx", tmp_path))]) == 0
    said = capsys.readouterr().out
    assert "card     GPU 0: AMD Radeon RX 7900 XTX" in said
    assert 'do       pip install "llama-rocm[vulkan]"' in said
    assert "proof" not in said


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """This program runs on a recorded machine with one program of its own."""

    def lay_out(machine: str, make: Callable[[Path], Any]) -> None:
        root = build(machine, tmp_path / "machine")
        Machine(root).write("usr/share/vulkan/icd.d/radeon_icd.x86_64.json", "{}")
        run_on(root, monkeypatch)
        monkeypatch.setenv("PATH", str(Path(make(tmp_path / "bin").argv[0]).parent))
        monkeypatch.delenv("ROCM_LLAMA_SERVER_PATH", raising=False)
        monkeypatch.setattr("rocm_core.engine.locate._packaged", lambda: iter(()))
        real = importlib.util.find_spec
        monkeypatch.setattr(
            "importlib.util.find_spec", lambda n: None if n == "xllamacpp" else real(n)
        )
        site = replace(look_at_site(root), glibc=(2, 35))
        for module in ("rocm_core.doctor", "rocm_core.doctor.setup.installed"):
            monkeypatch.setattr(f"{module}.look_at_site", lambda *_, **__: site)
        monkeypatch.setattr(command, "look_at_site", lambda *_, **__: site)
        listed = "rocm_core.doctor.setup.installed.list_gpus"
        monkeypatch.setattr(listed, lambda: list_gpus(root))

    return lay_out


def test_doctor_says_the_same_line_whatever_engine_runs(
    here: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here("rx_7900_xtx", cpu_program)
    monkeypatch.setattr("rocm_core.doctor.run_checks", lambda *_: [])
    (check,) = [found for found in run_doctor() if found.name == "setup"]
    assert check.status == "failed"
    assert check.remedy == VULKAN
    assert main(["setup"]) == 1
    assert f"do       {check.remedy}" in capsys.readouterr().out


def test_doctor_is_silent_where_an_engine_reaches_the_card(
    here: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    here("rx_7900_xtx", vulkan_program)
    monkeypatch.setattr("rocm_core.doctor.run_checks", lambda *_: [])
    assert not [found for found in run_doctor() if found.name == "setup"]


def test_yes_runs_the_pip_part_and_prints_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[tuple[list[str], str | None]] = []

    def run(argv: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        ran.append((argv, options["env"].get("CMAKE_ARGS")))
        return subprocess.CompletedProcess(argv, 0)

    monkeypatch.setattr(subprocess, "run", run)
    pip = Step("pip", 'CMAKE_ARGS="-DGGML_HIP=ON -DX=1" pip install "llama-rocm[server]"')
    command._install(Advice("HIP", "", (Step("system", "sudo apt install x"), pip)))
    assert ran == [
        ([sys.executable, "-m", "pip", "install", "llama-rocm[server]"], "-DGGML_HIP=ON -DX=1")
    ]
    assert "yours    sudo apt install x" in capsys.readouterr().out


def test_the_proof_names_buffers_and_ratios() -> None:
    held = {"Vulkan0": Buffers(2.5, 3.75)}
    trial = Trial("Hello", 1.5, held, ("Vulkan0",), Speed(50.0, 20.0), Speed(100.0, 10.0))
    said = command.proof(trial)
    assert said[0].startswith("loaded in 1.5 s on Vulkan0: 2.5 MiB of weights, 3.8 MiB of KV")
    assert "a software device: it computes on the CPU" in said[0]
    assert "prefill 50 tokens/s, 0.5 times the CPU's 100" in said[2]
    assert "decode 20 tokens/s, 2 times the CPU's 10" in said[2]
