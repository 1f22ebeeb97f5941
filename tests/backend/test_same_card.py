"""Choice, ``fit``, ``require_gpu`` and ``top`` speak of the same card, whatever the back end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rocm_core import LoadConfig
from rocm_core.cli import main
from rocm_core.cli.report import fit as fit_command
from rocm_core.engine.gpu_judgment import judge_gpu
from rocm_core.engine.gpu_placement import devices_of_load, place_on_gpus
from rocm_core.engine.installed.choice import explain_choice
from rocm_core.engine.locate import Engine
from rocm_core.errors import ConfigError
from rocm_core.gpu import list_gpus
from tests.support.gpu_trees import build
from tests.support.machine import Machine, run_on
from tests.support.servers.fake_engines import EMPTY, hip_program, library, program

# As Mesa names and orders them, whatever the kernel's order.
LISTED = """\
Available devices:
  Vulkan0: AMD Radeon RX 7800 XT (RADV NAVI32) (16368 MiB, 16000 MiB free)
  Vulkan1: AMD Ryzen 9 9950X (RADV RAPHAEL_MENDOCINO) (16000 MiB, 15000 MiB free)
"""
CARD, IGPU = "0000:03:00.0", "0000:13:00.0"
MACHINES = ("rx_7800_xt_first", "rx_7800_xt_second", "rx_7800_xt_with_crossed_render_nodes")


def vulkan(path: Path, listed: str = LISTED) -> Engine:
    engine = program(path, listed, flags="--device D  x\n--list-devices  x")
    library(path, "libggml-vulkan.so")
    return engine


ENGINES: dict[str, Callable[[Path], Engine]] = {
    "HIP": lambda path: hip_program(path, "gfx1101", "gfx1036"),
    "Vulkan": vulkan,
}


@pytest.fixture(params=MACHINES)
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = build(request.param, tmp_path / "machine")
    run_on(root, monkeypatch)
    monkeypatch.setattr(fit_command, "list_gpus", lambda _: list_gpus(root))
    return root


def fitted(capsys: pytest.CaptureFixture[str], *args: str) -> list[tuple[str, int | None]]:
    """Name and free bytes of the GPUs that ``fit`` fills; none where no free memory is known."""
    main(["fit", "demo", "--json", *args])
    told = capsys.readouterr()
    if "no AMD GPU with known free memory" in told.err:
        return []
    return [(d["name"], d["free"]) for d in json.loads(told.out)["devices"][:-1]]


@pytest.mark.parametrize("backend", ENGINES)
@pytest.mark.parametrize("devices", [(), (CARD,), (IGPU,)])
def test_all_speak_of_one_card(
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    backend: str,
    devices: tuple[str, ...],
) -> None:
    at = devices[0] if devices else CARD
    (card,) = [gpu for gpu in list_gpus(root) if gpu.pci == at]
    engine = ENGINES[backend](tmp_path / backend)
    config = LoadConfig(server_path=engine.argv[0], devices=devices, require_gpu=True)
    # the choice, and what it does
    placed = place_on_gpus(config, splits=True)
    if backend == "HIP":
        mask = dict(placed.environment)["ROCR_VISIBLE_DEVICES"]
        assert mask in (card.uuid, str(card.hip_index))
    elif devices:
        name = "Vulkan0" if at == CARD else "Vulkan1"
        assert placed.extra_args == ("--device", name)
    # require_gpu
    judged = judge_gpu(config)
    assert judged.usable
    assert at in judged.reasons[0]
    # fit
    asked = [part for device in devices for part in ("--device", device)]
    free = ({CARD: 16000, IGPU: 15000}[at] << 20) if backend == "Vulkan" else card.memory_free
    found = fitted(capsys, "--server-path", engine.argv[0], *asked)
    assert found == ([] if free is None else [(card.name, free)])
    # top: the same number and address
    pid = served_on(root, card.pci or "")
    seen = top(capsys, root, pid)
    assert [gpu["pci"] for gpu, held in seen if held["vram"]] == [at]


def served_on(root: Path, address: str) -> int:
    """A process whose files are those of a Vulkan or HIP server with memory on one card."""
    pid = 4711
    lines = ("drm-driver:\tamdgpu", f"drm-pdev:\t{address}", "drm-client-id:\t7")
    held = "drm-memory-vram:\t2048 KiB\ndrm-memory-gtt:\t1024 KiB"
    Machine(root).write(f"proc/{pid}/fdinfo/9", "\n".join((*lines, held)))
    return pid


def top(
    capsys: pytest.CaptureFixture[str], root: Path, pid: int
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    assert main(["top", "--json", "--root", str(root), "--pid", str(pid)]) == 0
    told = json.loads(capsys.readouterr().out)
    (server,) = told["servers"]
    return list(zip(told["gpus"], server["process"], strict=True))


def test_the_reason_of_the_choice_names_number_and_address(root: Path, tmp_path: Path) -> None:
    config = LoadConfig(server_path=None, backend="rocm")
    one, two = vulkan(tmp_path / "one"), hip_program(tmp_path / "two", "gfx906")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "rocm_core.engine.installed.choice.installed_engines", lambda *_: iter([two, one])
        )
        reason = explain_choice(config, {}).reason
    for gpu in list_gpus(root):
        assert f"(GPU {gpu.hip_index}, {gpu.pci})" in reason


def test_fit_names_a_device_that_is_not_there(root: Path, tmp_path: Path) -> None:
    engine = vulkan(tmp_path / "Vulkan")
    with pytest.raises(ConfigError, match="there is no GPU '0000:99:00.0' for this engine"):
        devices_of_load(LoadConfig(server_path=engine.argv[0], devices=("0000:99:00.0",)))


def test_fit_takes_the_memory_of_a_card_that_only_vulkan_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_on(build("no_gpu", tmp_path / "machine"), monkeypatch)
    listed = EMPTY + "  Vulkan0: NVIDIA GeForce RTX 3060 (12288 MiB, 11500 MiB free)\n"
    engine = vulkan(tmp_path / "Vulkan", listed)
    monkeypatch.setattr("rocm_core.engine.installed.choice._RENDER_NODES", "/nowhere")
    found = fitted(capsys, "--server-path", engine.argv[0])
    assert found == [("Vulkan0 NVIDIA GeForce RTX 3060", 11500 << 20)]
