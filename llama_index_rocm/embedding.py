"""``RocmEmbedding``: a LlamaIndex embedding model on llama-server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llama_index.core.base.embeddings.base import Embedding
from llama_index.core.embeddings.multi_modal_base import MultiModalEmbedding
from llama_index.core.schema import ImageType
from pydantic import Field, model_validator

from llama_index_rocm.component import RocmComponent
from rocm_core import LoadConfig
from rocm_core.adapter import awarn_of_lost_letters, warn_of_lost_letters
from rocm_core.requests import check_texts, image_content


class RocmEmbedding(RocmComponent, MultiModalEmbedding):
    """A GGUF embedding model on llama.cpp, or a running llama-server started with ``--embeddings``.

        Settings.embed_model = RocmEmbedding(model="path/to/embedding-model.gguf")

    The server starts at first use; ``close()`` releases it. A batch is one request; the
    asynchronous methods never block the event loop. Errors are those of ``rocm_core.errors``:
    ``ContextOverflow`` for a text longer than the model's context, which is never cut.

    With a model that embeds images, its projector (``mmproj``) and llama.cpp b11434 or newer it is
    a multi-modal model too: ``get_image_embedding(path_or_file_object)``. Files are opened below
    ``media_root`` alone.
    """

    embed_batch_size: int = Field(
        default=32,
        gt=0,
        le=2048,
        description="Texts in one request.",
    )
    pooling: str | None = Field(
        default=None,
        description="How token vectors become one: mean, cls, last; None: as the model says.",
    )
    normalize: bool | None = Field(
        default=None,
        description="Whether vectors have length 1; None for the server's default, which is yes.",
    )
    query_instruction: str | None = Field(
        default=None,
        description="Text before every query, for models trained with one ('search_query: ').",
    )
    text_instruction: str | None = Field(
        default=None,
        description="Text before every other text.",
    )

    model_name: str = Field(
        default="",
        description="LlamaIndex's name of the model, for people and caches; empty: model. What "
        "requests carry is model, with base_url.",
    )

    @classmethod
    def class_name(cls) -> str:
        """Return the class's name in serialized form."""
        return "rocm_embedding"

    @model_validator(mode="after")
    def _named(self) -> Any:
        if "model_name" not in self.model_fields_set:
            self.model_name = self.model or str(self.base_url)
        return self

    def _name_on_server(self) -> str | None:
        # LlamaIndex's model_name is not the one that goes to the server.
        return self.model or None if self.base_url else None

    def load_config(self) -> LoadConfig:
        """Return the load options, with embedding mode and pooling."""
        return replace(self._in_mode(embeddings=True), pooling=self.pooling)

    # -- one -------------------------------------------------------------------------------

    def _get_query_embedding(self, query: str) -> Embedding:
        return self._embed([query], self.query_instruction)[0]

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return (await self._aembed([query], self.query_instruction))[0]

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._embed([text], self.text_instruction)[0]

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return (await self._aembed([text], self.text_instruction))[0]

    # -- a batch ---------------------------------------------------------------------------

    def get_text_embedding_batch(
        self, texts: list[str], show_progress: bool = False, **kwargs: Any
    ) -> list[Embedding]:
        """Return a vector of each text, in their order.

        Raises:
            ConfigError: a text is none, or holds half a surrogate pair; before any request, with
                its index. Errors of the server name an index in one request's
                ``embed_batch_size`` texts, and the text's beginning.
        """
        check_texts(texts)
        return super().get_text_embedding_batch(texts, show_progress, **kwargs)

    async def aget_text_embedding_batch(
        self, texts: list[str], show_progress: bool = False, **kwargs: Any
    ) -> list[Embedding]:
        """``get_text_embedding_batch`` for asyncio."""
        check_texts(texts)
        return await super().aget_text_embedding_batch(texts, show_progress, **kwargs)

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return self._embed(texts, self.text_instruction)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await self._aembed(texts, self.text_instruction)

    # -- images ----------------------------------------------------------------------------

    def _get_image_embedding(self, img_file_path: ImageType) -> Embedding:
        return self._get_image_embeddings([img_file_path])[0]

    async def _aget_image_embedding(self, img_file_path: ImageType) -> Embedding:
        return (await self._aget_image_embeddings([img_file_path]))[0]

    def _get_image_embeddings(self, img_file_paths: list[ImageType]) -> list[Embedding]:
        if not img_file_paths:
            return []
        images = list(map(image_content, img_file_paths))
        return self.text_model.embed(images, normalize=self.normalize)

    async def _aget_image_embeddings(self, img_file_paths: list[ImageType]) -> list[Embedding]:
        if not img_file_paths:
            return []
        images = list(map(image_content, img_file_paths))
        model = await self._amodel()
        return await model.aembed(images, normalize=self.normalize)

    # -- requests --------------------------------------------------------------------------

    def _embed(self, texts: list[str], instruction: str | None) -> list[Embedding]:
        if not texts:
            return []
        warn_of_lost_letters(self.text_model, texts)
        return self.text_model.embed(_instructed(texts, instruction), normalize=self.normalize)

    async def _aembed(self, texts: list[str], instruction: str | None) -> list[Embedding]:
        if not texts:
            return []
        model = await self._amodel()
        await awarn_of_lost_letters(model, texts)
        return await model.aembed(_instructed(texts, instruction), normalize=self.normalize)


def _instructed(texts: list[str], instruction: str | None) -> list[str]:
    if not instruction:
        return texts
    space = "" if instruction[-1].isspace() else " "
    return [f"{instruction}{space}{text}" for text in texts]
