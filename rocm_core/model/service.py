"""A facade for applications that want one model and five verbs, from any thread.

    service = LlamaService()
    service.start({"model": "path/to/model.gguf", "context_len": 8192})
    for token in service.send_chat_message("Hello"):
        print(token.text, end="")
    service.stop()

It supervises nothing itself: ``start`` loads a ``TextModel``, whose server belongs to the
supervisor.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from rocm_core.client import Messages, calls
from rocm_core.errors import HTTPStatusError, ServerStopped
from rocm_core.gpu import Gpu
from rocm_core.model.text_model import TextModel, load_model
from rocm_core.supervisor.metrics import Metrics, snapshot
from rocm_core.types import Message, ModelInfo, Token

__all__ = ["LlamaService"]

# What servers say where there is no such endpoint.
_ABSENT = (404, 405, 501)


class LlamaService:
    """One model behind ``start``, ``stop``, ``send_chat_message``, ``get_metrics``, ``is_running``.

    Safe from any thread: ``stop`` works during a start, and during an answer.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._model: TextModel | None = None
        self._config: dict[str, Any] = {}
        self._measured: Metrics | None = None

    def __enter__(self) -> LlamaService:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self, config: Mapping[str, Any] | None = None, **options: Any) -> ModelInfo:
        """Load the model, and return what is known of it once its server is ready.

        A second call with the same configuration waits for the start that is under way, or
        returns at once. One with another configuration replaces the model: the first server stops.

        Args:
            config: ``model`` (as ``load_model`` takes it) and load options by name; what is not
                given comes from the settings (environment, configuration files).
            options: further ones, over ``config``.

        Raises:
            ConfigError: an option is unknown or does not fit.
            RocmError: as ``load_model`` and ``TextModel.load``; ``ServerStopped`` if ``stop``
                was called meanwhile.
        """
        wanted = {**(config or {}), **options}
        with self._lock:
            before = None
            model = self._model
            if model is None or wanted != self._config:
                rest = dict(wanted)
                before, model = model, load_model(rest.pop("model", None), **rest)
                self._model, self._config = model, wanted
        if before is not None:
            before.close()
        try:
            info = model.load()
            self._measured = snapshot(pid=model.connection.pid, gpus=())  # CPU counts from here
            return info
        except BaseException:
            with self._lock:
                if self._model is model:
                    self._model = None
            model.close()
            raise

    def stop(self, drain: float = 0.0) -> None:
        """Release the server, which stops unless another model of this program uses it.

        Stopping twice is harmless.

        Args:
            drain: seconds to wait for the answers that are under way, before they are broken off.
        """
        with self._lock:
            model, self._model = self._model, None
        if model is not None:
            model.close(drain)

    def is_running(self, timeout: float = 1.0) -> bool:
        """Return whether the model is loaded and its server alive.

        A server of our own is watched, so this costs nothing. One that somebody else runs is sent
        one small request (``GET /health``), for which this waits ``timeout`` seconds at most.
        """
        with contextlib.suppress(ServerStopped):
            return self._running().connection.answers(timeout)
        return False

    def get_config(self) -> dict[str, Any]:
        """Return what ``start`` was given, without secrets (``api_key``, ``headers``)."""
        with self._lock:
            return {n: v for n, v in self._config.items() if n not in ("api_key", "headers")}

    def get_metrics(self) -> dict[str, Any]:
        """Return what the server uses of the machine, and llama-server's counters.

        ``None`` is unknown, never zero: a server elsewhere tells nothing of its machine.

        Returns:
            ``cpu_usage``: percent since the previous call, or the start; 100 is one core.
            ``mem_usage``: bytes of resident memory; a mapped model counts as far as it was read.
            ``gpu_usage``: percent of recent time with work on the server's GPUs, on average.
            ``vram_usage``: percent of their memory that is in use, by anybody.
            ``in_flight``, ``waiting``: requests of this process: under way, and in the queue.
            Further ones: llama-server's counters and gauges (``TextModel.metrics``), unless it is
            somebody else's and was started without ``--metrics``.

        Raises:
            ServerStopped: nothing is running.
            ClientError: the server does not answer.
        """
        model = self._running()
        connection, counters = model.connection, _counters(model)
        gpus = None if connection.pid is not None else ()
        self._measured = now = snapshot(pid=connection.pid, previous=self._measured, gpus=gpus)
        queue, used = connection.limiter.queue, now.gpus_in_use()
        return {
            **counters,
            "in_flight": queue.in_flight,
            "waiting": queue.waiting,
            "cpu_usage": now.cpu_percent,
            "mem_usage": now.rss,
            "gpu_usage": _mean([gpu.busy_percent for gpu in used]),
            "vram_usage": _share(used),
        }

    def send_chat_message(
        self,
        message: str,
        history: Messages = (),
        system: str | None = None,
        **options: Any,
    ) -> Iterator[Token]:
        """Answer one message, and yield the tokens; closing the iterator frees the slot.

        Args:
            message: what the user says.
            history: the turns before it; neither the service nor llama-server remembers any.
            system: system prompt; ``None`` for none.
            options: fields of ``GenerateConfig``; the default is 256 tokens, greedy.

        Raises:
            ServerStopped: nothing is running.
            RocmError: from the iterator, as ``TextModel.chat``.
        """
        opening: Sequence[Message] = [Message("system", system)] if system else []
        messages = [*opening, *history, Message("user", message)]
        return self._running().chat(messages, **options)

    def _running(self) -> TextModel:
        model = self._model
        if model is None or model.props is None:
            raise ServerStopped("the service is not running; call start()")
        return model


def _counters(model: TextModel) -> dict[str, float]:
    """Return llama-server's own figures; empty where the server has none."""
    try:
        return model.connection.client.call(calls.metrics(), model.limits)
    except HTTPStatusError as error:
        if error.status not in _ABSENT:
            raise
        return {}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _share(gpus: Sequence[Gpu]) -> float | None:
    """Return the percentage of memory in use of all GPUs that tell theirs."""
    sizes = [(g.memory_total, g.memory_free) for g in gpus]
    known = [(total, free) for total, free in sizes if total and free is not None]
    total = sum(total for total, _ in known)
    return 100 * (1 - sum(free for _, free in known) / total) if total else None
