"""``llama-rocm serve``: a supervised llama-server for other programs, until a signal ends it."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from dataclasses import replace
from types import FrameType
from typing import Any

from rocm_core.backend import server_config
from rocm_core.cli.loading import load_progress
from rocm_core.cli.options import add_model_options, load_options
from rocm_core.discover.refs import resolve_ref
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
Ctrl-C (or SIGTERM) ends it."""


def add_command(commands: Any) -> None:
    """Register ``serve``."""
    parser = commands.add_parser("serve", help="serve a model to OpenAI clients on this machine")
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Start the server, say how to use it, and stay until a signal comes or it dies."""
    chosen = plan(options.model, None, None, load_options(options), current_settings())
    port = _DEFAULT_PORT if chosen.config.port is None else chosen.config.port
    ref = resolve_ref(chosen.ref, chosen.settings.environment())
    server = Server(ref, server_config(ref, replace(chosen.config, port=port)))
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()
        # Called off even while it loads; stop() waits, and a handler must not.
        threading.Thread(target=server.stop, daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        with load_progress(ref.name) as show:
            server.start(show)
        print(_USAGE.format(name=ref.name, url=server.url, key=server.api_key), flush=True)
        while not ended.wait(_WATCH_SECONDS):
            if server.state is State.FAILED:
                raise ServerDied("the server died", log_tail=server.log_tail())
    except ServerStopped:
        if not ended.is_set():
            raise
    finally:
        server.stop()
    print("stopped", file=sys.stderr)
    return 0
