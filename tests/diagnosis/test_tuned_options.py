"""An option that ends a server at its first request on some build has cause and remedy too."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from rocm_core import GenerateConfig, LoadConfig, Server, resolve_ref
from rocm_core.config import options_of
from rocm_core.diagnosis.tuned_options import TUNING, blame_options, tuned
from rocm_core.errors import ServerDied
from rocm_core.supervisor.exits.reason import explain_exit
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_engines import answering

SIGABRT, SIGKILL, SIGTERM = -6, -9, -15
ASSERTION = "/llama.cpp/ggml/src/ggml-backend.cpp:1: GGML_ASSERT(buffer) failed"


def test_every_tuning_option_is_an_option() -> None:
    assert set(TUNING) <= set(options_of(LoadConfig))


def test_a_server_that_dies_at_its_first_request_names_what_was_tuned(tmp_path: Path) -> None:
    program = answering(
        tmp_path,
        """reply(200, '{"status": "ok"}')""",
        flags="--n-cpu-moe --lazy-mode",
        post=f"print({ASSERTION!r}, file=sys.stderr, flush=True); os.abort()",
    )
    config = LoadConfig(server_path=program, backend="cpu", n_cpu_moe=2, lazy_mode="on")
    server = Server(resolve_ref(RECITER), config)
    server.start()
    with pytest.raises(ServerDied) as caught:
        list(server.client.completion("x", GenerateConfig(max_tokens=1)))
    error = caught.value
    assert "was ended by SIGABRT" in str(error)
    assert ASSERTION in error.cause
    assert "every build can compute with: lazy_mode='on', n_cpu_moe=2" in error.cause
    assert error.remedy.startswith("load it without lazy_mode, then n_cpu_moe; or ")
    server.stop()


@pytest.mark.parametrize(
    "line",
    ["GGML_ASSERT(n_cpu_moe < 9) failed", "error: --n-cpu-moe is not supported here"],
)
def test_what_the_log_names_comes_first(line: str) -> None:
    told = explain_exit(SIGABRT, [line], {}, LoadConfig(n_cpu_moe=1, lazy_mode="on")).text
    assert "load it without n_cpu_moe (the log names it), then lazy_mode" in told


@pytest.mark.parametrize(
    ("code", "options"),
    [(SIGABRT, {}), (SIGABRT, {"context_len": 512, "threads": 2}), (SIGTERM, {"n_cpu_moe": 1})],
)
def test_nothing_is_blamed_without_cause(code: int, options: dict[str, Any]) -> None:
    failure = explain_exit(code, ["something new"], {}, LoadConfig(**options)).failure
    assert failure is None or failure.name == "aborted"  # that SIGABRT says alone


def test_a_known_failure_explains_better() -> None:
    config = LoadConfig(n_cpu_moe=1)
    for code, line in ((SIGABRT, "CUDA error: out of memory"), (SIGKILL, "x")):
        known = explain_exit(code, [line], {}, config).failure
        assert known == explain_exit(code, [line], {}).failure is not None


def test_a_crash_that_only_has_a_name_gets_the_options_too() -> None:
    found = explain_exit(-11, ["Segmentation fault"], {}, LoadConfig(split_mode="row")).failure
    assert found is not None
    assert (found.name, found.evidence) == ("tuned_options", "Segmentation fault")


def test_of_extra_args_only_the_flags_are_shown() -> None:
    config = LoadConfig(extra_args=["--api-key", "secret", "--foo=hidden"])
    found = tuned(asdict(config), asdict(LoadConfig()))
    failure = blame_options(found, [], SIGABRT)
    assert failure is not None
    assert "extra_args=['--api-key', '--foo']" in failure.cause
    assert "secret" not in failure.cause and "hidden" not in failure.cause
