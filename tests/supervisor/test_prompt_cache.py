"""The bound of the prompt cache holds in the server's process, on both real engines."""

from __future__ import annotations

import os
import sys

import pytest

from benchmarks.resident import after_prompts
from rocm_core import Server, snapshot
from rocm_core.config import Engine
from rocm_core.demo import demo_model_path
from tests.support.engines import make_server

MIB = 1 << 20
LIMIT = "prompt cache is enabled, size limit: {} MiB"
# MiB that these prompts of some 1,800 tokens leave without a bound: 6.6 each; and within one of 32
# MiB if glibc keeps freed states (see ``command_line``): 55 on both engines.
PROMPTS, UNBOUNDED, KEPT_BY_GLIBC = 30, 190, 55
# The KV cache is touched on first use: 15 MiB in all, half of that by the first prompt.
KV = 15


def demo(engine: Engine, prompt_cache: int | str) -> Server:
    return make_server(
        engine,
        demo_model_path(),
        prompt_cache=prompt_cache,
        extra_args=("--log-verbosity", "4"),  # newer builds say it on this level only
    )


@pytest.mark.parametrize(("given", "mib"), [("48M", 48), (96 * MIB, 96)])
def test_the_engine_takes_the_bound(engine: Engine, given: int | str, mib: int) -> None:
    server = demo(engine, given)
    try:
        server.start()
        assert any(LIMIT.format(mib) in line for line in server.log_tail())
        if sys.platform == "linux":
            assert snapshot(pid=server.pid).prompt_cache == mib * MIB
    finally:
        server.stop()


def test_off_is_off(engine: Engine) -> None:
    server = demo(engine, "off")
    try:
        server.start()
        assert not any("prompt cache is enabled" in line for line in server.log_tail())
        if sys.platform == "linux":
            assert snapshot(pid=server.pid).prompt_cache == 0
    finally:
        server.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_unasked_it_takes_what_the_machine_has_to_spare(engine: Engine) -> None:
    server = demo(engine, "auto")
    try:
        server.start()
        bound = snapshot(pid=server.pid).prompt_cache
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        assert bound is not None
        assert 0 < bound <= total / 16
        assert any(LIMIT.format(bound // MIB) in line for line in server.log_tail())
    finally:
        server.stop()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_small_bound_is_kept(engine: Engine) -> None:
    bound = 32
    server = demo(engine, f"{bound}M")
    try:
        server.start()
        (_, first), (_, last) = after_prompts(server, (1, PROMPTS))
    finally:
        server.stop()
    assert last - first <= bound + KV < KEPT_BY_GLIBC < UNBOUNDED
