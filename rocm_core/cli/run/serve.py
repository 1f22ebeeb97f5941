"""``llama-rocm serve``: a supervised llama-server for other programs, until a signal ends it."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FrameType
from typing import Any

from rocm_core.backend import server_config
from rocm_core.cli.loading import load_progress
from rocm_core.cli.options import add_key_option, add_model_options, key_of, load_options
from rocm_core.cli.run import serve_ray
from rocm_core.cli.screen import say
from rocm_core.config import LoadConfig
from rocm_core.discover.refs import resolve_ref
from rocm_core.engine.command_line import LOOPBACK
from rocm_core.errors import ServerDied, ServerStopped
from rocm_core.server import Server, State
from rocm_core.settings import current_settings, plan

_DEFAULT_PORT = 8080
_WATCH_SECONDS = 0.5

_USAGE = """\
{name} is served at {url}/v1
OpenAI clients:
  base_url={url}/v1
  api_key={key}
  curl {url}/v1/chat/completions -H "Authorization: Bearer {key}" \\
    -H "Content-Type: application/json" -d '{{"messages":[{{"role":"user","content":"Hello"}}]}}'
{end}"""
_ENDS = "Ctrl-C (or SIGTERM) ends it."
_OPEN = (
    "It listens on {host}, without TLS: put a proxy in front of it on a network that others use."
)
_GOES_ON = (
    "Ctrl-C (or SIGTERM) ends this command; the server goes on until nobody has used it for {left} "
    "(llama-rocm ps, llama-rocm stop)."
)


def add_command(commands: Any) -> None:
    """Register ``serve``."""
    parser = commands.add_parser("serve", help="serve a model to OpenAI clients on this machine")
    add_model_options(parser)
    group = parser.add_argument_group("who may use it")
    group.add_argument(
        "--host",
        default=LOOPBACK,
        help=f"address to listen on (default: {LOOPBACK}); 0.0.0.0 or an address of a network "
        "lets other machines in, and needs a key of your choice",
    )
    add_key_option(group, default="a random key, which is printed")
    serve_ray.add_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Start the server, say how to use it, and stay until a signal comes or it dies."""
    ended, servers = threading.Event(), list[Server]()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()
        # Even a load is cancelled; stop() waits, and a handler must not.
        for server in servers:
            threading.Thread(target=server.stop, daemon=True).start()

    # Before the engine is asked what it can do, which takes a program of its own.
    with _signals_call(end):
        if options.ray or options.write_config:
            return serve_ray.run(options, ended)
        return _serve(options, ended, servers)


@contextlib.contextmanager
def _signals_call(end: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = [(number, signal.signal(number, end)) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _serve(options: argparse.Namespace, ended: threading.Event, servers: list[Server]) -> int:
    chosen = plan(options.model, None, None, load_options(options), current_settings())
    port = _DEFAULT_PORT if chosen.config.port is None else chosen.config.port
    ref = resolve_ref(chosen.ref, chosen.settings.environment())
    config, key = replace(chosen.config, port=port), key_of(options)
    server = Server(ref, server_config(ref, config), host=options.host, api_key=key)
    servers.append(server)
    try:
        with load_progress(ref.name) as show:
            if ended.is_set():
                raise ServerStopped("ended before the server was started")
            server.start(show)
        say(_usage(options, server, config))
        while not ended.wait(_WATCH_SECONDS):
            if server.state is State.FAILED:
                raise ServerDied("the server died", log_tail=server.log_tail())
    except ServerStopped:
        if not ended.is_set():
            raise
    finally:
        server.stop()
    say("stopped" if not config.keep_alive else "the server goes on", aside=True)
    return 0


def _usage(options: argparse.Namespace, server: Server, config: LoadConfig) -> str:
    key = server.api_key
    if options.api_key_env:
        key = f"${options.api_key_env}"
    elif options.api_key_file:
        key = f"$(cat {shlex.quote(options.api_key_file)})"
    end = _ENDS
    if config.keep_alive:
        left = "ever" if config.keep_alive == -1 else f"{float(config.keep_alive):g} s"
        end = _GOES_ON.format(left=left)
    elif options.host != LOOPBACK:
        end = f"{_OPEN.format(host=options.host)}\n{_ENDS}"
    return _USAGE.format(name=server.ref.name, url=server.url, key=key, end=end)
