"""What a notebook shows of a load: see ``rocm_core.display.loading``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager

from rocm_core.backend import Connection, OnProgress


def shown_load(
    connection: Connection, on_progress: OnProgress | None = None
) -> AbstractContextManager[OnProgress | None]:
    """Show the load that the block waits for; yield what to call with its progress.

    Nothing is shown for a caller who shows it, for a server that runs, and outside of IPython.
    """
    if on_progress is not None or "IPython" not in sys.modules or connection.is_alive:
        return contextlib.nullcontext(on_progress)
    return _shown(connection)


@contextlib.contextmanager
def _shown(connection: Connection) -> Iterator[OnProgress | None]:
    if connection.ref.kind == "url":  # somebody else has loaded it
        yield None
        return
    from rocm_core.display.loading import load_display

    key = getattr(connection, "server", connection)
    with load_display(id(key), connection.ref.name) as display:
        if display is None:
            yield None
            return
        yield display.progress
        display.loaded(load_facts(connection))


def load_facts(connection: Connection) -> list[str]:
    """Return context, device and memory of a server that has just loaded, in words.

    The device is the one that the load's log names (``diagnosis.gpu_use``); a build whose log
    names none, and a server whose log is another's, say nothing of it.
    """
    from rocm_core.diagnosis.gpu_use import gpu_use
    from rocm_core.display.table import size
    from rocm_core.supervisor.metrics import snapshot

    props, server = connection.props, getattr(connection, "server", None)
    facts = [f"{props.n_ctx} tokens of context"] if props is not None and props.n_ctx else []
    use = gpu_use(server.log_tail()) if server is not None else None
    if use is not None and use.used:
        sizes = ((name, use.buffers[name]) for name in use.buffers)
        return [*facts, *(f"{name}: {b.weights + b.cache:.0f} MiB" for name, b in sizes)]
    if connection.config.backend == "cpu" or (use is not None and use.used is False):
        facts.append("CPU")
    seen = snapshot(None, connection.pid, gpus=())
    return [*facts, f"{size(seen.rss)} of memory"] if seen.rss else facts


def known_facts(connection: Connection) -> list[tuple[str, object]]:
    """Return what is known of a model and its server, without I/O."""
    props, server = connection.props, getattr(connection, "server", None)
    if server is not None:
        state = server.state.value
    else:
        state = "asked" if props is not None else "not asked yet"
    facts: list[tuple[str, object]] = [("model", connection.ref.name), ("state", state)]
    if connection.pid is not None:
        facts.append(("pid", connection.pid))
    if props is not None:
        facts += [("context", f"{props.n_ctx} tokens"), ("slots", props.total_slots)]
        facts.append(("llama.cpp", props.build_info))
    return facts
