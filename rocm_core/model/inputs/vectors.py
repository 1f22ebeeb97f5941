"""What a model of another kind answers: vectors of texts and images, and ranks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from rocm_core.client import Deadline, calls
from rocm_core.model.inputs.media import parts_with_files
from rocm_core.model.served_model import ServedModel
from rocm_core.requests import EmbeddingInput, is_content
from rocm_core.threads import beside_loop


class VectorModel(ServedModel):
    """A model that embeds and ranks, if it was loaded for that."""

    _pooling_told = False

    def embed(
        self,
        texts: Sequence[EmbeddingInput],
        *,
        normalize: bool | None = None,
        deadline: Deadline | None = None,
        first: int = 0,
    ) -> list[list[float]]:
        """Return one vector per text, in the order of the texts (``POST /v1/embeddings``).

        The model must be loaded with ``embeddings=True``. All texts go in one request, which
        waits for its place in the queue like any other.

        Args:
            texts: at least one. Each may be as long as ``ubatch_size`` tokens. In place of a text a
                list of content parts, as in a chat's messages (``text``, ``image_url``,
                ``input_audio``, ``input_video``), makes one vector: of a model that takes them,
                loaded with its projector, on llama.cpp b11434 or newer. A ``file://`` URL is opened
                below ``media_root`` alone. A content that does not end with a text gets a line
                break there, which llama-server needs.
            normalize: scale each vector to Euclidean length 1, or not at all; ``None`` leaves it
                to the server, which does.
            deadline: of the call that this is a part of; ``None``: the model's limits.
            first: the index of the first text in a longer list, for errors.

        Returns:
            Vectors of ``n_embd`` floats: the width of the model's embedding.

        Raises:
            ConfigError: a text is none, or holds half a surrogate pair. Its index is in the error,
                as in that of each text that the server refuses. The model, or the engine, takes
                no such parts.
            ContextOverflow: a text is longer than the server reads at once.
            NotSupported: the server was not started for embeddings.
            ServerBusy: the queue is full, or the turn did not come in time.
            RocmError: the server cannot be started or reached, or a limit passes.
        """
        call = calls.embeddings(self._with_files(texts), normalize=normalize, first=first)
        return self._ask(call, deadline, queued=True)

    async def aembed(
        self,
        texts: Sequence[EmbeddingInput],
        *,
        normalize: bool | None = None,
        deadline: Deadline | None = None,
        first: int = 0,
    ) -> list[list[float]]:
        """``embed`` for asyncio."""
        if any(map(is_content, texts)):
            texts = await beside_loop(self._with_files, texts)
        call = calls.embeddings(texts, normalize=normalize, first=first)
        return await self._aask(call, deadline, queued=True)

    def rerank(
        self,
        query: str,
        documents: Sequence[str],
        top_n: int | None = None,
        *,
        deadline: Deadline | None = None,
    ) -> list[tuple[int, float]]:
        """Score documents by how well they answer a query (``POST /v1/rerank``).

        The model must be loaded with ``rerank=True``; errors as ``embed``.

        Args:
            query: the question.
            documents: at least one. Each, with the query, may be as long as ``ubatch_size``
                tokens.
            top_n: how many to return; ``None`` for all.
            deadline: of the call that this is a part of; ``None``: the model's limits.

        Returns:
            Pairs of a document's index in ``documents`` and its score, best first. Most models
            score with a logit, which has no bounds; some (``qwen3``) with a probability.
        """
        return self._ask(calls.rerank(query, documents, top_n), deadline, queued=True)

    async def arerank(
        self,
        query: str,
        documents: Sequence[str],
        top_n: int | None = None,
        *,
        deadline: Deadline | None = None,
    ) -> list[tuple[int, float]]:
        """``rerank`` for asyncio."""
        return await self._aask(calls.rerank(query, documents, top_n), deadline, queued=True)

    def _with_files(self, inputs: Sequence[EmbeddingInput]) -> Sequence[EmbeddingInput]:
        """Return the inputs with the data of the files that they name; reads them."""
        if not any(map(is_content, inputs)):
            return inputs
        self._tell_pooling()
        config = self.connection.config
        return [
            given if isinstance(given, str) else parts_with_files(given, config) for given in inputs
        ]

    def _tell_pooling(self) -> None:
        """Warn once if the vector of a picture would be that of the text after it."""
        header = self._gguf()
        pooling = self.connection.config.pooling or (header.pooling if header else None)
        if self._pooling_told or pooling in (None, "last"):
            return
        self._pooling_told = True
        warnings.warn(
            f"pooling {pooling!r}: llama-server pools the text after the last image of an input "
            "alone (b11434), so most of what an image says is lost. Models for images pool the "
            "last token: pooling='last'.",
            stacklevel=4,
        )
