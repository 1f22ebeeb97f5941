"""``RocmEmbeddings``: LangChain embeddings on a llama-server in embedding mode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeVar

from langchain_core.embeddings import Embeddings
from pydantic import Field

from langchain_rocm.errors import model_errors
from langchain_rocm.options import ServedOptions
from rocm_core import LoadConfig
from rocm_core.adapter import awarn_of_lost_letters, warn_of_lost_letters
from rocm_core.requests import check_texts, image_content, refuse_long_runs

T = TypeVar("T")

_TEXTS_PER_SLOT = 8


class RocmEmbeddings(ServedOptions, Embeddings):
    """Embeds texts with a GGUF embedding model or a running server.

        embeddings = RocmEmbeddings(model="path/to/bge-m3-Q8_0.gguf")
        embeddings.embed_query("What is a kernel?")

    Load options are those of ``rocm_core.LoadConfig``; ``ubatch_size`` is the longest text in
    tokens (default: the model's context, at most 8192). Texts are sent as text, several per
    request, never as token ids of another tokenizer. The server is not that of a chat model; it
    starts at first use.

    ``embed_image`` embeds images in the same space, with a model of that kind, its projector
    (``mmproj``) and llama.cpp b11434 or newer.

    Raises:
        langchain_rocm.errors.ContextOverflow: a text is longer than the model reads at once;
            split it, or raise ``ubatch_size`` up to the model's context length.
        langchain_rocm.errors.NotSupported: the server was not started in embedding mode.
    """

    pooling: Literal["mean", "cls", "last"] | None = Field(
        default=None,
        description="How the tokens' vectors become one; None for the model's own pooling.",
    )
    normalize: bool = Field(
        default=True,
        description="Whether vectors have length 1, so that a dot product is the cosine.",
    )
    query_prefix: str = Field(
        default="",
        description="Text before each query, for models that were trained with one ('query: ').",
    )
    document_prefix: str = Field(
        default="",
        description="Text before each document ('passage: ').",
    )
    texts_per_request: int | None = Field(
        default=None,
        ge=1,
        description="How many texts one request carries; None for 8 per slot of the server.",
    )

    def load_config(self) -> LoadConfig:
        """Return the load options, with embedding mode and pooling."""
        return self.changed_config(embeddings=True, pooling=self.pooling)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed documents; return one vector per text, in their order.

        ``timeout`` is the limit of all of them together.

        Raises:
            langchain_rocm.errors: see the class.
        """
        vectors: list[list[float]] = []
        with model_errors():
            check_texts(texts)
            refuse_long_runs(texts)
            documents = [self.document_prefix + text for text in texts]
            model = self.text_model
            warn_of_lost_letters(model, texts)
            deadline = model.deadline()
            slots = (model.props or model.load(deadline=deadline)).total_slots
            for first, batch in self._batches(documents, slots):
                vectors += model.embed(
                    batch, normalize=self.normalize, deadline=deadline, first=first
                )
        return vectors

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """``embed_documents`` for asyncio."""
        vectors: list[list[float]] = []
        with model_errors():
            check_texts(texts)
            refuse_long_runs(texts)
            documents = [self.document_prefix + text for text in texts]
            model = await self._amodel()
            await awarn_of_lost_letters(model, texts)
            deadline = model.deadline()
            slots = (model.props or await model.aload(deadline=deadline)).total_slots
            for first, batch in self._batches(documents, slots):
                vectors += await model.aembed(
                    batch, normalize=self.normalize, deadline=deadline, first=first
                )
        return vectors

    def embed_image(self, uris: Sequence[str | bytes]) -> list[list[float]]:
        """Embed images with a model that sees them; return one vector per image, in their order.

        Vector stores that take images (``Chroma.add_images``) call this.

        Args:
            uris: URLs (``https:``, ``data:``, ``file:``), paths of files, which are opened below
                ``media_root`` alone, or the images' bytes.

        Raises:
            langchain_rocm.errors: see the class; ``ConfigError`` if the model sees no images, or
                the engine is older than llama.cpp b11434.
        """
        vectors: list[list[float]] = []
        with model_errors():
            images = list(map(image_content, uris))
            model = self.text_model
            deadline = model.deadline()
            slots = (model.props or model.load(deadline=deadline)).total_slots
            for first, batch in self._batches(images, slots):
                vectors += model.embed(
                    batch, normalize=self.normalize, deadline=deadline, first=first
                )
        return vectors

    async def aembed_image(self, uris: Sequence[str | bytes]) -> list[list[float]]:
        """``embed_image`` for asyncio."""
        vectors: list[list[float]] = []
        with model_errors():
            images = list(map(image_content, uris))
            model = await self._amodel()
            deadline = model.deadline()
            slots = (model.props or await model.aload(deadline=deadline)).total_slots
            for first, batch in self._batches(images, slots):
                vectors += await model.aembed(
                    batch, normalize=self.normalize, deadline=deadline, first=first
                )
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Embed a query; return its vector."""
        with model_errors():
            model = self.text_model
            warn_of_lost_letters(model, [text])
            return model.embed([self.query_prefix + text], normalize=self.normalize)[0]

    async def aembed_query(self, text: str) -> list[float]:
        """``embed_query`` for asyncio."""
        with model_errors():
            model = await self._amodel()
            await awarn_of_lost_letters(model, [text])
            [vector] = await model.aembed([self.query_prefix + text], normalize=self.normalize)
            return vector

    def _batches(self, texts: Sequence[T], slots: int) -> Iterator[tuple[int, Sequence[T]]]:
        size = self.texts_per_request or _TEXTS_PER_SLOT * max(1, slots)
        for start in range(0, len(texts), size):
            yield start, texts[start : start + size]
