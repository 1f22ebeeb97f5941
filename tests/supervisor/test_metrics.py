"""Snapshots: the process, the GPUs, the server; and what stays unknown."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from rocm_core import Server, snapshot
from rocm_core.client import Client
from rocm_core.config import GenerateConfig
from rocm_core.errors import ServerUnreachable
from rocm_core.gpu import ProcessMemory, list_gpus, process_memory
from rocm_core.shared.admin import vram_of
from tests.support.gpu_trees import build
from tests.support.machine import Machine
from tests.support.servers.fake_server import FakeServer, answer

# Umio-Yasuno/amdgpu_top#87, with the address of our recorded machine.
FDINFO = """\
pos:    0
flags:  02104002
mnt_id: 24
ino:    614
pasid:  32784
drm-driver:     amdgpu
drm-pdev:       0000:86:00.0
drm-client-id:  217
drm-memory-vram:        2068 KiB
drm-memory-gtt:         8192 KiB
drm-memory-cpu:         0 KiB
drm-engine-gfx: 107322799 ns"""
# The newer names; kernel docs, gpu/drm-usage-stats: without a unit, bytes.
NEWER = FDINFO.replace("client-id:  217", "client-id:  218").replace(
    "drm-memory-vram:        2068 KiB", "drm-total-vram: 9 MiB\ndrm-resident-vram: 4096"
)


def card_with(root: Path, *fdinfo: str) -> Machine:
    build("rx_7900_xtx", root)
    machine = Machine(root)
    for number, text in enumerate(fdinfo):
        machine.write(f"proc/42/fdinfo/{number}", text)
    return machine


def test_memory_of_a_process_sums_its_clients_and_counts_each_once(tmp_path: Path) -> None:
    card_with(tmp_path, "pos:\t0", FDINFO, FDINFO, NEWER, FDINFO.replace("amdgpu", "i915"))
    (memory,) = process_memory(42, list_gpus(tmp_path), tmp_path)
    assert memory == ProcessMemory(vram=2068 * 1024 + 4096, gtt=2 * 8192 * 1024)


def test_memory_of_a_process_on_all_gpus(tmp_path: Path) -> None:
    card_with(tmp_path, FDINFO)
    assert vram_of(42, str(tmp_path)) == 2068 * 1024
    assert vram_of(1, str(tmp_path)) is None
    assert vram_of(None) is None


def test_memory_on_another_card_is_not_ours(tmp_path: Path) -> None:
    card_with(tmp_path, FDINFO.replace("0000:86", "0000:87"))
    assert process_memory(42, list_gpus(tmp_path), tmp_path) == [ProcessMemory()]


def test_memory_that_only_the_compute_driver_accounts(tmp_path: Path) -> None:
    machine = card_with(tmp_path, FDINFO)
    (gpu,) = list_gpus(tmp_path)
    known = replace(gpu, kfd_id=13261)
    machine.write("sys/class/kfd/kfd/proc/42/vram_13261", 14102528)
    assert process_memory(42, [known], tmp_path)[0].vram == 14102528
    assert process_memory(42, [replace(known, partition=1)], tmp_path)[0].gtt is None


def test_a_process_without_gpu_has_no_memory_there_not_zero(tmp_path: Path) -> None:
    card_with(tmp_path)
    assert process_memory(1, list_gpus(tmp_path), tmp_path) == [ProcessMemory(None, None)]


def test_a_process_by_its_proc_files(tmp_path: Path) -> None:
    machine = card_with(tmp_path, FDINFO)
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    stat = "42 (llama server) R) S 1 42 42 0 -1 4194304 100 0 0 0 {} {} 0 0 20 0 9 0 1 2 3"
    machine.write("proc/42/stat", stat.format(3 * ticks, 1 * ticks))
    machine.write("proc/42/statm", "5000 700 20 1 0 90 0")
    first = snapshot(pid=42, root=tmp_path)
    assert (first.cpu_seconds, first.rss, first.cpu_percent) == (4.0, 700 * page, None)
    assert first.process[0].vram == 2068 * 1024
    machine.write("proc/42/stat", stat.format(4 * ticks, 1 * ticks))
    earlier = replace(first, at=first.at - 2.0)
    later = snapshot(pid=42, previous=earlier, root=tmp_path)
    assert later.cpu_percent is not None
    assert 0 < later.cpu_percent <= 50.0
    assert snapshot(pid=42, previous=replace(earlier, pid=41), root=tmp_path).cpu_percent is None


def test_unknown_is_none_never_zero(tmp_path: Path) -> None:
    seen = snapshot(pid=42, root=tmp_path)
    assert (seen.cpu_seconds, seen.cpu_percent, seen.rss) == (None, None, None)
    assert (seen.gpus, seen.process) == ((), ())
    assert (seen.slots, seen.slots_busy, seen.requests_deferred) == (None, None, None)
    assert (seen.prompt_per_second, seen.predicted_per_second) == (None, None)


def test_speeds_come_from_totals_so_that_other_readers_do_not_disturb() -> None:
    with FakeServer() as fake, Client(fake.url) as client:
        fake.script("/metrics", answer("metrics.b11434"))
        first = snapshot(client, gpus=[])
        assert first.predicted_per_second == 5519.94, "the server's own figure, at first"
        assert first.slots is None, "a server without /slots"
        before = dict(first.counters) | {
            "tokens_predicted_total": 29.0,
            "tokens_predicted_seconds_total": 0.011232 - 0.005,
        }
        later = snapshot(client, previous=replace(first, counters=before), gpus=[])
        assert later.predicted_per_second == pytest.approx(50 / 0.005)
        assert later.prompt_per_second is None, "no prefill since then"
        assert (later.requests_processing, later.requests_deferred) == (0, 0)


def test_a_server_that_does_not_answer_is_an_error() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(ServerUnreachable):
        snapshot(client, gpus=[])


def test_a_running_server(server: Server) -> None:
    server.start()
    first = server.get_metrics()
    assert first.cpu_percent is None
    # Long enough for the kernel's clock ticks of 10 ms.
    list(server.client.completion("x", GenerateConfig(max_tokens=2000, ignore_eos=True)))
    then = server.get_metrics()
    assert then.pid == server.pid
    assert then.rss is not None
    assert then.rss > 2**20
    assert then.cpu_percent is not None
    assert then.cpu_percent > 0
    assert (then.slots, then.slots_busy) == (server.client.props().total_slots, 0)
    assert then.predicted_per_second is not None
    assert then.predicted_per_second > 1
    assert then.counters["tokens_predicted_total"] == 2000


async def test_the_event_loop_goes_on_while_metrics_are_read(server: Server) -> None:
    await server.astart()
    reading = asyncio.ensure_future(server.aget_metrics())
    await asyncio.sleep(0)
    assert not reading.done(), "the answer comes from another thread"
    assert (await reading).pid == server.pid
