"""Programs in poor environments: kernel limits, closed descriptors, odd variables, full disks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import rocm_core
from rocm_core.config import Engine
from tests.support.models.reciter import RECITER
from tests.support.programs import PATIENCE

# A user that nobody else is: limits on processes count all of a user's, and root's are not counted.
_NOBODY = "54321"

_PROGRAM = """
import os, resource, signal, sys, warnings
warnings.simplefilter("ignore")
engine, keep_alive, model, result, before = sys.argv[1:]
sys.path[:] = [part for part in sys.path if part]
exec(before)
from rocm_core.errors import RocmError
try:
    from rocm_core import load_model
    with load_model(model, engine=engine, keep_alive=float(keep_alive), timeout=60) as loaded:
        text = "".join(token.text for token in loaded.generate("Hi", max_tokens=4))
    told = f"answer {text}"
except RocmError as error:
    told = f"{type(error).__name__} {error}"
except BaseException as error:
    import traceback
    told = f"UNTYPED {type(error).__name__} {error} {traceback.format_exc()}"
os.write(int(result), told.encode("utf-8", "replace"))
"""


@dataclass(frozen=True)
class Poor:
    """An environment.

    Attributes:
        before: Python that runs in the program before it imports the package.
        env: variables over this program's; ``None`` removes one.
        may_fail: the classes of error that it may end with; empty: it must answer.
        unprivileged: run as a user without rights, who has no home.
    """

    before: str = ""
    env: Mapping[str, str | None] = field(default_factory=dict)
    may_fail: tuple[str, ...] = ()
    unprivileged: bool = False


def prefix() -> list[str] | None:
    """Return the words that make a command run without root's rights; ``None``: it cannot be."""
    if os.geteuid() != 0:
        return []
    if not (setpriv := shutil.which("setpriv")):
        return None
    # It reads files whose directories are root's alone.
    rights = ["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]
    return [setpriv, "--reuid", _NOBODY, "--regid", _NOBODY, "--clear-groups", *rights]


def outcome(poor: Poor, engine: Engine, keep_alive: float, folder: Path) -> str:
    """Run a program that asks for an answer; return ``answer …``, or the error with its class.

    Raises:
        subprocess.TimeoutExpired: it hangs.
    """
    folder.chmod(0o777)
    runtime = folder / "run"
    runtime.mkdir()
    runtime.chmod(0o777 if poor.unprivileged else 0o700)
    if poor.unprivileged and os.geteuid() == 0:
        os.chown(runtime, int(_NOBODY), -1)
        runtime.chmod(0o700)
    root = str(Path(rocm_core.__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": root, "XDG_RUNTIME_DIR": str(runtime), **poor.env}
    reader, writer = os.pipe()  # a limit on files does not hold for it
    with os.fdopen(reader, "rb") as told:
        try:
            done = subprocess.run(
                [
                    *((prefix() or []) if poor.unprivileged else []),
                    *(sys.executable, "-c", _PROGRAM),
                    *(engine, str(keep_alive), str(RECITER), str(writer), poor.before),
                ],
                cwd=folder,
                env={name: value for name, value in env.items() if value is not None},
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(writer,),
                timeout=PATIENCE,
            )
        finally:
            os.close(writer)
        said = told.read().decode("utf-8", "replace")
    return said or f"UNTYPED exit code {done.returncode}: {done.stderr.decode()}"
