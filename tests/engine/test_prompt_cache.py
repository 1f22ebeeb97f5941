"""The bound of the prompt cache, from the option and the machine to the engine's flag."""

from __future__ import annotations

from pathlib import Path

import pytest

from rocm_core import LoadConfig
from rocm_core.discover.refs import ModelRef, resolve_ref
from rocm_core.engine import gpu_placement
from rocm_core.engine.command_line import Address, Build, arguments, prompt_cache_of
from rocm_core.engine.embedded_flags import FLAGS
from rocm_core.engine.gpu_placement import with_prompt_cache
from rocm_core.errors import ConfigError
from rocm_core.gpu import list_gpus, select_gpus
from rocm_core.gpu.host_limits import host_memory
from tests.support.gpu_trees import build
from tests.support.machine import Machine

GIB, MIB = 1 << 30, 1 << 20
HF = ModelRef("hf", "org/repo", "repo")
ADDRESS = Address(port=1)


@pytest.fixture(autouse=True)
def sixteen_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_placement, "host_memory", lambda: 16 * GIB)


def sent(config: LoadConfig, flags: frozenset[str] = FLAGS, ref: ModelRef = HF) -> int | None:
    resolved = with_prompt_cache(ref, config, flags)
    return prompt_cache_of(arguments(ref, resolved, ADDRESS, Build(flags), cores=1))


def test_auto_is_a_number_when_the_server_starts() -> None:
    assert sent(LoadConfig(gpu_layers=0)) == GIB
    assert sent(LoadConfig(gpu_layers=0), ref=resolve_ref("demo")) in range(64 * MIB, 512 * MIB)


@pytest.mark.parametrize(("given", "bound"), [("512M", 512 * MIB), ("off", 0), ("2.5G", 5 << 29)])
def test_a_size_is_sent_as_it_is(given: str, bound: int) -> None:
    assert sent(LoadConfig(prompt_cache=given)) == bound


@pytest.mark.parametrize(
    ("machine", "bound"),
    [
        ("rx_7900_xtx", 2 * GIB),
        ("strix_halo_512_mb", GIB),
        ("strix_halo_96_gb", 2 * GIB),  # its carve-out is no longer the host's
        ("no_gpu", GIB),
    ],
)
def test_auto_halves_where_the_model_is_in_host_memory_too(
    machine: str, bound: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = select_gpus(list_gpus(build(machine, tmp_path)), env={})
    monkeypatch.setattr(gpu_placement, "choose_gpus", lambda config: chosen)
    assert sent(LoadConfig(backend="rocm")) == bound
    assert sent(LoadConfig(backend="rocm", gpu_layers=0)) == GIB
    assert sent(LoadConfig(backend="cpu")) == GIB


def test_a_build_without_the_cache_gets_no_flag_unless_a_size_was_asked_for() -> None:
    old = FLAGS - {"--cache-ram", "-cram"}
    assert sent(LoadConfig(), old) is None
    assert sent(LoadConfig(prompt_cache="off"), old) is None
    with pytest.raises(ConfigError, match="--cache-ram"):
        sent(LoadConfig(prompt_cache="1G"), old)


def test_what_was_set_by_its_own_name_stands() -> None:
    assert sent(LoadConfig(extra_args=["--cache-ram", "77"])) == 77 * MIB
    assert sent(LoadConfig(extra_args=["-cram", "78"])) == 78 * MIB
    assert sent(LoadConfig(environment={"LLAMA_ARG_CACHE_RAM": "79"})) is None


@pytest.mark.parametrize(
    ("line", "bound"),
    [
        (["-m", "x", "--cache-ram", "64"], 64 * MIB),
        (["-cram", "0", "-m", "x"], 0),
        (["--cache-ram", "1", "--cache-ram", "2"], 2 * MIB),
        (["--cache-ram", "-1"], None),
        (["--cache-ram"], None),
        (["-m", "64"], None),
        ([], None),
    ],
)
def test_the_bound_is_read_back_from_any_command_line(line: list[str], bound: int | None) -> None:
    assert prompt_cache_of(line) == bound


def test_a_container_counts_its_own_limit(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert host_memory(tmp_path) is None
    machine.write("proc/meminfo", "MemTotal: 64 kB\nMemAvailable:   67108864 kB")
    assert host_memory(tmp_path) == 64 * GIB
    machine.write("proc/self/cgroup", "4:memory:/old\n0::/app.slice/job")
    machine.write("sys/fs/cgroup/app.slice/job/memory.max", "max")
    assert host_memory(tmp_path) == 64 * GIB
    machine.write("sys/fs/cgroup/app.slice/memory.max", 8 * GIB)
    assert host_memory(tmp_path) == 8 * GIB, "a group has the limits of those above it"
    machine.write("sys/fs/cgroup/app.slice/job/memory.max", GIB)
    assert host_memory(tmp_path) == GIB
