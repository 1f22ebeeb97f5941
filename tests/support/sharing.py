"""A server that outlives its program, and a program that uses it."""

from __future__ import annotations

from typing import Any

import pytest

from rocm_core import GenerateConfig, Server
from rocm_core.config import Engine
from rocm_core.engine.gpu_judgment import resolve_backend
from rocm_core.engine.installed.choice import choose_engine
from rocm_core.errors import ServerStartError
from rocm_core.shared.registry import key_of, with_absolute_paths
from tests.support.engines import make_server

# A notebook: loads, says the server's pid, streams on request, and waits for its end.
NOTEBOOK = """
import sys
from rocm_core import load_model
engine, keep_alive, path, tokens = (*sys.argv[1:], "6000")[:4]
model = load_model(path, engine=engine, keep_alive=keep_alive)
model.load()
hello = [{"role": "user", "content": "Hello"}]
stream = model.chat(hello, max_tokens=int(tokens), ignore_eos=True)
next(stream)
print(model.connection.server.pid, flush=True)
for line in sys.stdin:
    if line.strip() == "stream":
        for _ in range(20):
            if next(stream, None) is None:
                stream = model.generate("x", max_tokens=6000, ignore_eos=True)
        print("streaming", flush=True)
    if line.strip() == "rest":
        stream.close()
        print("resting", flush=True)
"""


def shared(engine: Engine, **options: Any) -> Server:
    return make_server(engine, **{"keep_alive": 60} | options)


def shared_key(server: Server) -> str:
    """The key under which ``server`` is shared with other programs."""
    config = with_absolute_paths(resolve_backend(server.config))
    return key_of(server.ref, config, choose_engine(config))


def fails_to_start(server: Server) -> None:
    with pytest.raises(ServerStartError, match="enough"):
        server.start()


def say_hello(server: Server) -> str:
    server.start()
    return "".join(e.text for e in server.client.completion("x", GenerateConfig(max_tokens=3)))
