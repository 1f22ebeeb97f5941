"""``llama-rocm top``: what is on screen, and the JSON."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import sys
from pathlib import Path

import pytest
from rich.console import Console

from rocm_core import LoadConfig, Server, resolve_ref
from rocm_core.cli import main
from rocm_core.cli.report.top import View, Watched
from rocm_core.config import Engine, GenerateConfig
from rocm_core.gpu import list_gpus
from tests.support.gpu_trees import RX_7800_XT_DRM, build
from tests.support.machine import Machine
from tests.support.models.reciter import RECITER


def screen(view: View) -> str:
    console = Console(file=io.StringIO(), record=True, width=110)
    console.print(view.render())
    return console.export_text()


def test_gpus_with_bars_that_grow(tmp_path: Path) -> None:
    machine = Machine(build("rx_7800_xt_first", tmp_path))
    view = View([], str(tmp_path))
    for busy in (0, 50, 100):
        machine.write("sys/class/drm/renderD128/device/gpu_busy_percent", busy)
        view.look()
    shown = screen(view)
    assert "AMD Radeon RX 7800 XT gfx1101" in shown
    assert "100 %" in shown
    assert "▁▄█" in shown
    assert "0.2 / 16.0 GiB" in shown
    assert "32 W" in shown and "24 °C" in shown
    igpu = next(line for line in shown.splitlines() if "gfx1036" in line)
    assert "- %" not in igpu and "0 W" not in igpu, "unknown is no zero"
    assert RX_7800_XT_DRM["gpu_busy_percent"] == 2


def test_a_gpu_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    build("without_render_node", tmp_path)
    assert "/dev/dri/renderD128 does not exist" in screen(View([], str(tmp_path)).look())


def test_a_model_in_the_host_memory_of_an_apu(tmp_path: Path) -> None:
    machine = Machine(build("strix_halo_4_gb", tmp_path))
    held = f"drm-memory-vram:\t2048 KiB\ndrm-memory-gtt:\t{20 << 20} KiB"
    lines = f"drm-driver:\tamdgpu\ndrm-pdev:\t{list_gpus(tmp_path)[0].pci}\n{held}"
    machine.write("proc/4711/fdinfo/9", lines)
    shown = screen(View([Watched("demo", None, 4711)], str(tmp_path)).look())
    assert "GPU 0: 0.0 GiB VRAM, GPU 0: 20.0 GiB of the host's memory" in shown


def test_no_gpu(tmp_path: Path) -> None:
    assert screen(View([], str(tmp_path)).look()) == "no AMD GPU\n"


def test_a_server_at_work(engine: Engine, tmp_path: Path) -> None:
    server = Server(resolve_ref(RECITER), LoadConfig(engine=engine))
    server.start()
    try:
        view = View([Watched("demo", server.client, server.pid)], str(tmp_path)).look()
        list(server.client.completion("x", GenerateConfig(max_tokens=50, ignore_eos=True)))
        shown = screen(view.look())
        seen = view.as_dict()["servers"][0]
    finally:
        server.stop()
    assert "tok/s" in shown
    assert f"0 / {seen['slots']}" in shown
    assert "█" in next(line for line in shown.splitlines() if "decode" in line)
    assert "was stopped" in screen(view.look())
    assert seen["predicted_per_second"] > 0


def test_one_snapshot_as_json(
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    build("rx_7900_xtx", tmp_path)
    server = Server(resolve_ref(RECITER), LoadConfig(engine=engine, port=0))
    server.start()
    try:
        url, key = server.url, server.api_key
        assert url and key
        monkeypatch.setenv("THE_KEY", key)
        command = ["top", "--json", "--root", str(tmp_path), "--url", url]
        code = main([*command, "--api-key-env", "THE_KEY"])
    finally:
        server.stop()
    assert code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["gpus"][0]["name"] == "AMD Radeon RX 7900 XTX"
    assert told["gpus"][0]["memory_free"] is None
    assert told["servers"][0]["slots"] >= 1
    assert told["servers"][0]["rss"] is None, "a server by address may run anywhere"
    assert key not in json.dumps(told)


def test_a_process_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--json", "--pid", str(os.getpid())]) == 0
    (told,) = json.loads(capsys.readouterr().out)["servers"]
    assert told["rss"] > 2**20
    assert told["cpu_percent"] is not None


def test_a_dead_server_is_told_not_raised(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--json", "--url", "http://127.0.0.1:9"]) == 0
    assert "nothing answers" in json.loads(capsys.readouterr().out)["servers"][0]["error"]


def test_without_a_terminal_it_prints_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["top", "--root", str(tmp_path)]) == 0
    assert "no AMD GPU" in capsys.readouterr().out


def test_ctrl_c_ends_the_live_view(tmp_path: Path) -> None:
    build("rx_7900_xtx", tmp_path)
    child, terminal = pty.fork()
    if child == 0:
        program = "from rocm_core.cli import main; raise SystemExit(main())"
        os.execv(
            sys.executable,
            [sys.executable, "-c", program, "top", "--root", str(tmp_path), "--interval", "0.1"],
        )
    seen = b""
    while seen.count(b"gfx1100") < 2:  # drawn, and drawn again
        seen += os.read(terminal, 4096)
    os.kill(child, signal.SIGINT)
    while True:
        try:
            if not os.read(terminal, 4096):
                break
        except OSError:
            break
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(terminal)
