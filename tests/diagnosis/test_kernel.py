"""The kernel's log counts for the process that it is about, and for no other one."""

from __future__ import annotations

import pytest

from rocm_core.diagnosis.explain import explain_failure
from rocm_core.diagnosis.kernel import Process, lines_about

OURS = Process(7000, "llama-server", 100.0, 200.0)
OOM = "[  150.5] Out of memory: Killed process {pid} ({name}) total-vm:33330696kB"
CGROUP = (
    "[  150.4] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
    "oom_memcg=/x,task_memcg=/x,task={name},pid={pid},uid=1000"
)
FAULT = "[  199.9] {name}[{thread}]: segfault at e8 ip 7f53ab69c3eb sp 7f53 error 4 in {lib}"
TIMEOUT = "[  150.1] amdgpu 0000:03:00.0: amdgpu: ring gfx_0.0.0 timeout, signaled seq=1, emitted 3"
BY = "[  150.1] amdgpu 0000:03:00.0: amdgpu:  Process {name} pid {pid} thread {name}:cs0 pid {pid}"
RESET = "[  150.3] amdgpu 0000:03:00.0: amdgpu: GPU reset(2) succeeded!"
NO_ATOMICS = "[    3.1] kfd kfd: amdgpu: skipped device 1002:67df, PCI rejects atomics 730<0"
LOST = "ggml_vulkan: vk::DeviceLostError: vk::Queue::submit: ErrorDeviceLost"


def of(*lines: str, process: Process = OURS) -> list[str]:
    return lines_about(lines, process)


@pytest.mark.parametrize("line", [OOM, CGROUP])
def test_a_kill_counts_for_the_process_that_was_killed(line: str) -> None:
    mine = line.format(pid=7000, name="llama-server")
    assert of(mine) == [mine]
    assert of(line.format(pid=6999, name="llama-server")) == []
    assert of(line.format(pid=70001, name="firefox")) == []


def test_a_fault_counts_for_a_thread_of_the_process() -> None:
    mine = FAULT.format(name="llama-server", thread=7003, lib="libvulkan_lvp.so")
    main_thread = FAULT.format(name="renamed", thread=7000, lib="libc.so.6")
    assert of(mine, main_thread) == [mine, main_thread]
    assert of(FAULT.format(name="llama-server", thread=6990, lib="x")) == []
    assert of(FAULT.format(name="firefox", thread=7003, lib="x")) == []


def test_long_names_are_cut_as_the_kernel_does() -> None:
    process = OURS._replace(program="llama-server-vulkan")
    line = FAULT.format(name="llama-server-vu", thread=7003, lib="x")
    assert of(line, process=process) == [line]


@pytest.mark.parametrize("line", [OOM.format(pid=7000, name="llama-server"), TIMEOUT, RESET])
def test_lines_of_another_time_do_not_count(line: str) -> None:
    assert of(line, process=OURS._replace(until=140.0)) == []
    assert of(line, process=OURS._replace(since=160.0)) == []
    assert of(line.partition("] ")[2]) == []


def test_a_hang_counts_unless_it_is_anothers() -> None:
    mine = BY.format(name="llama-server", pid=7000)
    assert of(TIMEOUT, mine, RESET) == [TIMEOUT, mine, RESET]
    # The reset after another's hang ends our work too.
    assert of(TIMEOUT, BY.format(name="game", pid=12), RESET) == [RESET]
    assert of(TIMEOUT) == [TIMEOUT]


def test_the_cards_state_counts_at_any_time() -> None:
    assert of(NO_ATOMICS) == [NO_ATOMICS]


def test_a_process_of_unknown_id_has_only_a_time() -> None:
    line = OOM.format(pid=7000, name="llama-server")
    assert of(line, process=Process(0, "", 100.0, 200.0)) == [line]
    assert of(line, process=Process(0, "", 0.0, 100.0)) == []


def test_a_kill_is_named_with_its_line() -> None:
    line = OOM.format(pid=7000, name="llama-server")
    killed = explain_failure(["loading"], -9, None, of(line))
    assert killed is not None
    assert killed.name == "killed_for_memory"
    assert "Killed process 7000" in killed.evidence
    # Of the whole log of the kernel, what is about another program does not count.
    for other in (OOM, CGROUP):
        whole = [other.format(pid=12, name="ray::IDLE")]
        failure = explain_failure(["loading"], -9, None, whole)
        assert failure is not None
        assert failure.name == "killed"


def test_a_crash_has_the_kernels_line_as_evidence() -> None:
    line = FAULT.format(name="llama-server", thread=7003, lib="libvulkan_lvp.so[29c3eb]")
    crash = explain_failure(["loading"], -11, None, of(line))
    assert crash is not None
    assert crash.name == "crashed"
    assert "libvulkan_lvp.so" in crash.evidence
    other = FAULT.format(name="firefox", thread=12, lib="libxul.so")
    crash = explain_failure(["loading"], -11, None, [other])
    assert crash is not None
    assert crash.evidence == ""
    refused = explain_failure(["loading"], 1, None, [line])
    assert refused is None


def test_a_hang_explains_a_lost_device() -> None:
    hang = explain_failure([LOST], -6, None, of(TIMEOUT, RESET))
    assert hang is not None
    assert hang.name == "gpu_hang"
    assert explain_failure(["error: unknown argument: --x"], 1, None, of(TIMEOUT)) != hang


def test_a_clean_end_gets_no_cause_from_the_kernel() -> None:
    lines = [NO_ATOMICS, TIMEOUT, RESET, OOM.format(pid=7000, name="llama-server")]
    assert explain_failure(["all is well"], 0, None, lines) is None
