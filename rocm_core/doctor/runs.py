"""Try what a server needs: directories, and a real load with one token from the demo model."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from rocm_core.config import GenerateConfig, LoadConfig
from rocm_core.config.option import expanded
from rocm_core.diagnosis.gpu_use import gpu_problem, gpu_use
from rocm_core.discover.refs import models_in, resolve_ref
from rocm_core.engine.locate import Engine
from rocm_core.errors import ConfigError, RocmError
from rocm_core.gguf import read_gguf
from rocm_core.gguf.notes import text_notes
from rocm_core.gpu import list_gpus
from rocm_core.gpu.vulkan import cards_of
from rocm_core.server import Server
from rocm_core.settings import current_settings
from rocm_core.supervisor import socket_dir
from rocm_core.types import Check

_MODEL_DIR = "ROCM_MODEL_DIR"
_WHOLE_LOG = "llama-rocm chat Hello -m demo -v shows the whole log"
_ONE_TOKEN = GenerateConfig(max_tokens=1)


def run_checks(
    engines: Sequence[Engine], seeing_gpu: Collection[str], env: Mapping[str, str]
) -> list[Check]:
    """Check the directories, and load the demo model on each engine.

    Args:
        engines: the installed ones.
        seeing_gpu: kinds of engine that see a GPU; the others load on the CPU.
        env: environment variables, for ``ROCM_MODEL_DIR``.
    """
    answers = [_answer(engine, engine.kind in seeing_gpu) for engine in engines]
    return [_models(env), _runtime_directory(), _settings(), *answers]


def _settings() -> Check:
    try:
        settings = current_settings(complete=True)
    except ConfigError as error:
        return Check("settings", "failed", str(error), "correct it; llama-rocm config shows all")
    number = len(settings.values)
    return Check("settings", "ok", f"{number} option{'' if number == 1 else 's'} set")


def _models(env: Mapping[str, str]) -> Check:
    name, directory = "model_directory", env.get(_MODEL_DIR)
    if not directory:
        return Check(name, "ok", f"{_MODEL_DIR} is not set; models are named by path or org/repo")
    path = expanded(directory)
    if not path.is_dir():
        remedy = f"correct or unset {_MODEL_DIR}"
        return Check(name, "failed", f"{_MODEL_DIR}={directory} is no directory", remedy)
    try:
        models = models_in(path)
    except OSError as error:
        return Check(
            name, "failed", f"{directory} cannot be read: {error}", "check its permissions"
        )
    number = len(models)
    held = f"{directory} holds {number} model{'' if number == 1 else 's'}"
    notes = [note for model in models for note in _notes(Path(model))]
    return Check(name, "warning", held, " ".join(notes)) if notes else Check(name, "ok", held)


def _notes(path: Path) -> list[str]:
    try:
        return [f"{path.name}: {note}" for note in text_notes(read_gguf(path))]
    except RocmError:
        return []  # llama-rocm models tells


def _runtime_directory() -> Check:
    try:
        directory = socket_dir.create()
    except OSError as error:
        remedy = "set XDG_RUNTIME_DIR or TMPDIR to a directory that is yours, with a short path"
        return Check("runtime_directory", "failed", str(error), remedy)
    socket_dir.remove(directory)
    return Check("runtime_directory", "ok", f"sockets go below {directory.parent}")


def _answer(engine: Engine, on_gpu: bool) -> Check:
    name = "answer_of_llama_server" if engine.kind == "binary" else "answer_of_embedded_engine"
    verbose = ("--log-verbosity", "4") if "--log-verbosity" in engine.flags() else ()
    config = LoadConfig(
        backend="auto" if on_gpu else "cpu",
        engine=engine.kind,
        server_path=engine.argv[0] if engine.kind == "binary" else None,
        gpu_layers=-1 if on_gpu else 0,
        require_gpu=False,  # the finding below says it
        extra_args=verbose,
    )
    server = Server(resolve_ref("demo"), config)
    begun = time.monotonic()
    try:
        server.start()
        loaded = time.monotonic()
        text = "".join(event.text for event in server.client.completion("Hello", _ONE_TOKEN))
        done, log = time.monotonic(), server.log_tail()
    except RocmError as error:
        detail, _, remedy = str(error).partition("\n")[0].partition(" Remedy: ")
        return Check(name, "failed", detail, remedy or _WHOLE_LOG)
    finally:
        server.stop()
    times = f"loaded in {1000 * (loaded - begun):.0f} ms, one token in {1000 * (done - loaded):.0f}"
    if on_gpu and (problem := gpu_problem(log, strict=True)):
        detail, _, remedy = problem.partition(". Remedy: ")
        return Check(name, "failed", f"{times} ms, on the CPU: {detail}", remedy or _WHOLE_LOG)
    where = _devices(log) if on_gpu else "the CPU"
    return Check(name, "ok", f"{times} ms ({text!r}), on {where}")


def _devices(log: Sequence[str]) -> str:
    """Return the devices of a load, a Vulkan device with the kernel's GPU behind it."""
    cards = cards_of(log, list_gpus())
    names = gpu_use(log).devices
    return ", ".join(f"{name} ({cards[name]})" if name in cards else name for name in names)
