"""``llama-rocm serve --ray``: replicas on Ray Serve, or the file with which a cluster has them."""

from __future__ import annotations

import argparse
import secrets
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rocm_core.cli.options import key_of, load_options
from rocm_core.cli.screen import say
from rocm_core.engine.command_line import LOOPBACK
from rocm_core.errors import ConfigError
from rocm_core.settings import current_settings, plan

if TYPE_CHECKING:
    from rocm_core.scale import Replicas

_PORT = 8000
_SAID = """\
{name} is served by {count} at http://{host}:{port}/v1
OpenAI clients:
  base_url=http://{host}:{port}/v1
  api_key={key}
Ctrl-C (or SIGTERM) ends it."""
_WRITTEN = """\
{file} is written. On a cluster whose nodes have llama-rocm[ray] and the model at the same place:
  serve deploy {file}"""
_NO_KEY = (
    "a cluster listens on a network: give a key with --api-key-file or --api-key-env. "
    "The file gets its SHA-256 digest only."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of replicas to ``serve``."""
    group = parser.add_argument_group("replicas on Ray Serve (docs/scale.md; extra: ray)")
    group.add_argument("--ray", action="store_true", help="serve replicas on this machine")
    group.add_argument(
        "--replicas", type=_count, default=1, metavar="N|MIN-MAX", help="how many (default: 1)"
    )
    group.add_argument(
        "--gpus-per-replica",
        type=float,
        metavar="N",
        help="GPUs of each replica (default: 1; 0 with --backend cpu)",
    )
    group.add_argument(
        "--write-config", metavar="FILE", help="write a file for `serve deploy`; start nothing"
    )


def run(options: argparse.Namespace, ended: threading.Event) -> int:
    """Serve the replicas until ``ended``, or write the file.

    Raises:
        BackendUnavailable: Ray is not installed.
        ConfigError: an option does not fit.
    """
    chosen = plan(options.model, None, None, load_options(options), current_settings())
    port = _PORT if chosen.config.port is None else chosen.config.port
    if not port:
        raise ConfigError("--ray needs a port: Ray Serve takes no free one by itself")
    from rocm_core.scale import Replicas

    gpus = options.gpus_per_replica
    if gpus is None:
        gpus = 0.0 if chosen.config.backend == "cpu" else 1.0
    fixed = isinstance(options.replicas, int)
    model = Replicas(
        str(chosen.ref),
        replace(chosen.config, port=None),
        replicas=options.replicas if fixed else None,
        autoscaling=None if fixed else options.replicas,
        gpus_per_replica=gpus,
    )
    if options.write_config:
        return _write(options, model, port)
    return _serve(options, model, port, ended)


def _write(options: argparse.Namespace, model: Replicas, port: int) -> int:
    from rocm_core.scale import deploy_config
    from rocm_core.scale.front import digest

    key, file = key_of(options), Path(options.write_config)
    if not key:
        raise ConfigError(_NO_KEY)
    host = options.host if options.host != LOOPBACK else "0.0.0.0"
    file.write_text(deploy_config([model], key_digests=[digest(key)], host=host, port=port))
    say(_WRITTEN.format(file=file))
    return 0


def _serve(options: argparse.Namespace, model: Replicas, port: int, ended: threading.Event) -> int:
    from rocm_core.scale import run_app, stop_app

    key = key_of(options)
    if key is None and options.host == LOOPBACK:
        key = secrets.token_urlsafe(32)
    try:
        run_app(model, host=options.host, port=port, api_keys=[key] if key else [])
        shown = f"${options.api_key_env}" if options.api_key_env else key
        if options.api_key_file:
            shown = f"$(cat {options.api_key_file})"
        count = "1 replica" if options.replicas == 1 else f"{_words(options.replicas)} replicas"
        say(_SAID.format(name=model.name, count=count, host=options.host, port=port, key=shown))
        ended.wait()
    finally:
        stop_app()
    say("stopped", aside=True)
    return 0


def _words(replicas: int | tuple[int, int]) -> str:
    return str(replicas) if isinstance(replicas, int) else f"{replicas[0]} to {replicas[1]}"


def _count(text: str) -> int | tuple[int, int]:
    least, dash, most = text.partition("-")
    if not least.isdecimal() or (dash and not most.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor MIN-MAX")
    return (int(least), int(most)) if dash else int(least)
