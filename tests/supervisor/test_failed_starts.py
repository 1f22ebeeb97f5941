"""What a failed start leaves: cause and remedy on its error, and a file for the doctor."""

from __future__ import annotations

import json
import os
import pickle
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rocm_core import LoadConfig, Server, resolve_ref
from rocm_core.config import Engine
from rocm_core.errors import ConfigError, ServerDied, ServerStartError
from rocm_core.shared.protocol import error_from_line, error_to_line
from rocm_core.supervisor.exits.last_start import forget, last_failed_start, remember
from rocm_core.supervisor.exits.reason import explain_exit
from rocm_core.supervisor.restart_policy import CrashHistory
from tests.support.models.reciter import RECITER

LOST = "port 8080 is taken"


def failed(**fields: str) -> ServerStartError:
    return ServerStartError("it failed", returncode=1, log_tail=["a", "b"], **fields)


def test_the_error_of_a_failed_start_has_cause_and_remedy(engine: Engine) -> None:
    config = LoadConfig(engine=engine, extra_args=["--frobnicate"])
    with pytest.raises(ServerStartError) as caught:
        Server(resolve_ref(RECITER), config).start()
    error = caught.value
    assert "does not know the argument --frobnicate" in error.cause
    assert "extra_args" in error.remedy
    assert error.cause in str(error)
    kept = last_failed_start()
    assert kept is not None
    assert (kept.error, kept.cause, kept.remedy) == ("ServerStartError", error.cause, error.remedy)
    assert kept.log[-1] == error.log_tail[-1]


def test_a_start_that_succeeds_forgets_the_failed_one(engine: Engine) -> None:
    with pytest.raises(ServerStartError):
        Server(resolve_ref(RECITER), LoadConfig(engine=engine, extra_args=["--frob"])).start()
    assert last_failed_start()
    server = Server(resolve_ref(RECITER), LoadConfig(engine=engine))
    server.start()
    server.stop()
    assert last_failed_start() is None


def test_other_errors_have_neither() -> None:
    assert ConfigError("x").cause == ConfigError("x").remedy == ""
    assert explain_exit(1, ["something new"], {}).cause_and_remedy == {}


def test_both_survive_pickling_the_daemon_and_the_end_of_restarts() -> None:
    error = ServerDied("it died", cause=LOST, remedy="choose another")
    copies = [pickle.loads(pickle.dumps(error)), error_from_line(error_to_line(error))]
    crashes = CrashHistory()
    refusal = crashes.refusal(error, "never")
    assert refusal is not None
    for copy in (*copies, refusal):
        assert (copy.cause, copy.remedy) == (LOST, "choose another")


def test_variables_of_the_process_count() -> None:
    exit_ = explain_exit(-11, ["loading"], {"HSA_OVERRIDE_GFX_VERSION": '"10.3.0"'})
    assert exit_.failure is not None
    assert exit_.failure.name == "bad_gfx_override"


def test_the_file_is_private_and_replaced(tmp_path: Path) -> None:
    env = {"XDG_STATE_HOME": str(tmp_path)}
    remember("one", failed(cause="first"), env)
    remember("two", failed(cause="second"), env)
    kept = last_failed_start(env)
    assert kept is not None
    assert (kept.model, kept.cause, kept.log) == ("two", "second", ["a", "b"])
    assert abs(kept.time - time.time()) < 60
    (path,) = (tmp_path / "llama-rocm").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    forget("one", env)
    assert last_failed_start(env)
    forget("two", env)
    assert not list((tmp_path / "llama-rocm").iterdir())


def test_what_is_not_of_a_process_is_not_kept(tmp_path: Path) -> None:
    env = {"XDG_STATE_HOME": str(tmp_path)}
    remember("one", ConfigError("no such option"), env)
    remember("one", ServerStartError("no thread"), env)
    assert last_failed_start(env) is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "{", "\0", '{"time": 1}', json.dumps({"time": 0, "model": 1})]
)
def test_a_damaged_file_is_none(tmp_path: Path, text: str) -> None:
    env = {"XDG_STATE_HOME": str(tmp_path)}
    remember("one", failed(), env)
    (path,) = (tmp_path / "llama-rocm").iterdir()
    path.write_text(text)
    assert last_failed_start(env) is None
    forget("one", env)


def test_no_place_for_the_file_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    env = {"XDG_STATE_HOME": str(tmp_path / "file")}
    remember("one", failed(), env)
    assert last_failed_start(env) is None
    forget("one", env)


def test_a_start_that_succeeds_does_not_load_the_table(engine: Engine) -> None:
    program = f"""
import sys
from rocm_core import LoadConfig, Server, resolve_ref
server = Server(resolve_ref({str(RECITER)!r}), LoadConfig(engine={engine!r}))
server.start()
server.stop()
print([name for name in sys.modules if "diagnosis.table" in name or "diagnosis.explain" in name])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=os.environ,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "[]"
