"""Images in place of texts to embed: real engines with the smallest vision encoder there is."""

from __future__ import annotations

import asyncio
import base64
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gguf")

from llama_index.core.embeddings.multi_modal_base import MultiModalEmbedding

from langchain_rocm import RocmEmbeddings
from llama_index_rocm import RocmEmbedding
from rocm_core import TextModel, load_model
from rocm_core.client import calls
from rocm_core.config import Engine
from rocm_core.demo import demo_model_path
from rocm_core.errors import ConfigError
from rocm_core.requests import EmbeddingInput, image_content
from tests.support.models.pictures import eyes_for, png
from tests.support.servers.fake_server import FakeServer, answer

RED, BLUE = png(28, 28, (255, 0, 0)), png(28, 28, (0, 0, 255))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "red.png").write_bytes(RED)
    eyes_for(demo_model_path(), folder / "mmproj.gguf")
    return folder


@pytest.fixture(scope="module")
def options(engine: Engine, files: Path) -> dict[str, Any]:
    eyes = str(files / "mmproj.gguf")
    return {"engine": engine, "mmproj": eyes, "pooling": "last", "media_root": str(files)}


@pytest.fixture(scope="module")
def seeing(options: dict[str, Any]) -> Iterator[TextModel]:
    with load_model("demo", embeddings=True, **options) as model:
        yield model


def near(vector: list[float]) -> Any:
    return pytest.approx(vector, abs=2e-2)


async def test_each_image_has_a_vector_of_its_own_among_texts(
    seeing: TextModel, files: Path
) -> None:
    question = [*image_content(RED), {"type": "text", "text": "What is this?"}]
    inputs: list[EmbeddingInput] = ["hello", image_content(RED), image_content(BLUE), question]
    text, red, blue, asked = seeing.embed(inputs)
    assert len({len(vector) for vector in (text, red, blue, asked)}) == 1
    for one, other in ((red, blue), (red, text), (red, asked)):
        assert sum(a * b for a, b in zip(one, other, strict=True)) < 0.99
    assert seeing.embed(["hello"])[0] == near(text)
    assert (await seeing.aembed([image_content(files / "red.png")]))[0] == near(red)


async def test_both_frameworks_embed_images(
    seeing: TextModel, options: dict[str, Any], files: Path
) -> None:
    red, blue = seeing.embed([image_content(RED), image_content(BLUE)])
    address = "data:image/png;base64," + base64.b64encode(BLUE).decode()
    chain = RocmEmbeddings(model="demo", texts_per_request=1, **options)
    for vectors in (
        chain.embed_image([str(files / "red.png"), address]),
        await chain.aembed_image([RED, BLUE]),
    ):
        assert vectors[0] == near(red) and vectors[1] == near(blue)
    index = RocmEmbedding(model="demo", embed_batch_size=2, **options)
    assert isinstance(index, MultiModalEmbedding)
    assert index.get_image_embedding(str(files / "red.png")) == near(red)
    assert await index.aget_image_embedding(io.BytesIO(RED)) == near(red)
    batch = index.get_image_embedding_batch([io.BytesIO(RED), address, io.BytesIO(RED)])
    assert batch[1] == near(blue) and batch[2] == near(red)
    again = await index.aget_image_embedding_batch([io.BytesIO(BLUE)])
    assert again[0] == near(blue)
    assert index.get_image_embedding_batch([]) == chain.embed_image([]) == []
    await asyncio.gather(chain.aclose(), index.aclose())


def test_a_content_always_ends_with_a_text() -> None:
    # A server has nothing else to compute the vector of its end with.
    text = {"type": "text", "text": "x"}
    for content in (image_content(RED), [text, *image_content(RED)], [*image_content(RED), text]):
        [sent] = calls.embeddings([content]).body["input"]
        assert sent["content"][: len(content)] == content
        assert sent["content"][-1]["type"] == "text" and sent["content"][-1]["text"]


def test_a_model_that_sees_nothing_says_so(model: TextModel) -> None:
    with pytest.raises(ConfigError, match=r"cannot see images.*mmproj"):
        model.embed([image_content(RED)])


async def test_an_engine_that_embeds_texts_alone_is_told_apart() -> None:
    # As b10566 answers any input that is no text.
    old = (
        b'{"error": {"code": 500, "type": "server_error", "message": "\\"prompt\\" elements must '
        b'be a string, a list of tokens, a JSON object containing a prompt string, or a list."}}'
    )
    with FakeServer() as server:
        server.script("/props", answer(b'{"total_slots": 1}'))
        server.script("/v1/embeddings", answer(old, 500))
        with load_model(server.url) as model:
            for parts in (image_content(RED), [{"type": "text", "text": "x"}]):
                with pytest.raises(ConfigError, match="embeds texts alone: images need llama.cpp"):
                    model.embed([parts])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([[]], r"texts\[0\] has no parts"),
        (["a", [{"type": "file"}]], r"texts\[1\] has a part that cannot be embedded.*image_url"),
        (["a", [{"type": "text", "text": "b\ud83d"}]], r"texts\[1\].*surrogate"),
        ([["a"]], r"texts\[0\] has a part"),
        ([b"abc"], r"texts\[0\] is no text"),
        ("abc", "give a list of texts"),
    ],
)
def test_what_is_no_input_is_named(given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        calls.embeddings(given)


def test_a_pooling_that_loses_images_is_told_once(files: Path) -> None:
    with FakeServer() as server:
        server.script("/props", answer("props.b11434"))
        with load_model(demo_model_path(), embeddings=True, pooling="mean") as model:
            with pytest.warns(UserWarning, match="pooling='last'"):
                model._with_files([image_content(RED)])
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                model._with_files([image_content(RED)])


def test_a_file_needs_the_root(files: Path) -> None:
    red = [image_content(files / "red.png")]
    with (
        load_model("demo", embeddings=True, pooling="last") as model,
        pytest.raises(ConfigError, match="media_root=DIR"),
    ):
        model.embed(red)
