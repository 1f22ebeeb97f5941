"""From text to an answer of the engine: all but the steps of learning, which need PyTorch."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from gguf.quants import dequantize
from tokenizers import Tokenizer

from rocm_core import load_model, read_gguf
from rocm_core.config import Engine
from rocm_core.demo import demo_model_path
from training.demo_model import dataset
from training.demo_model.chat_format import TEMPLATE
from training.demo_model.data import mix
from training.demo_model.engine import engine as serve
from training.demo_model.evaluate import ask, same_prompts
from training.demo_model.export import export, tensor_name
from training.demo_model.shape import Shape


@pytest.fixture(scope="session")
def random_model(learned: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two layers that has learned nothing."""
    random = np.random.default_rng(1)
    shape = Shape(vocabulary=learned.get_vocab_size(), layers=2)
    weights: dict[str, npt.NDArray[np.float32]] = {
        name: random.normal(0, 0.05, size).astype(np.float32)
        for name, size in shape.parameters().items()
    }
    path: Path = tmp_path_factory.mktemp("out") / "demo.gguf"
    export(shape, weights, learned, path)
    return path


def test_batches_are_rows_of_tokens_with_something_to_learn(learned: Tokenizer) -> None:
    made, again = (
        dataset.batches(learned, mix.training(3), count=20, size=2048, seed=3) for _ in range(2)
    )
    assert len(made) == 20
    for batch, same in zip(made, again, strict=True):
        assert batch.ids.shape == batch.learn.shape
        assert batch.ids.shape[1] in dataset.LENGTHS
        assert batch.learn.any(axis=1).all()
        assert 0 <= batch.ids.min() <= batch.ids.max() < learned.get_vocab_size()
        assert np.array_equal(batch.ids, same.ids)


def test_a_batch_reads_as_the_conversations_that_it_is_made_of(learned: Tokenizer) -> None:
    (row, learn), *_ = dataset.encode(learned, list(islice(mix.training(3), 1)))
    text = learned.decode(row, skip_special_tokens=False)
    assert text == next(dataset.texts(3, 1))
    wanted = [id_ for id_, mark in zip(row, learn, strict=True) if mark]
    assert learned.decode(wanted, skip_special_tokens=False) in text


def test_export_of_the_shipped_weights_is_the_shipped_file(
    shipped: gguf.GGUFReader, shipped_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    stored = {tensor.name: tensor for tensor in shipped.tensors}
    weights = {}
    for name, size in Shape().parameters().items():
        tensor = stored[tensor_name(name)]
        weights[name] = dequantize(tensor.data, tensor.tensor_type).reshape(size)
    export(Shape(), weights, shipped_tokenizer, tmp_path / "again.gguf")
    assert (tmp_path / "again.gguf").read_bytes() == demo_model_path().read_bytes()


def test_a_model_that_has_learned_nothing_loads_and_answers(
    engine: Engine, random_model: Path, learned: Tokenizer
) -> None:
    info = read_gguf(random_model)
    assert (info.layers, info.vocabulary) == (2, learned.get_vocab_size())
    assert info.chat_template == TEMPLATE.read_text(encoding="utf-8")
    with load_model(random_model, engine=engine) as model:
        hello = [{"role": "user", "content": "Hello"}]
        assert len([t for t in model.chat(hello, max_tokens=8, ignore_eos=True) if t.text]) > 0
        assert model.tokenize("weather in Oslo") == (
            learned.encode("weather in Oslo", add_special_tokens=False).ids
        )


def test_the_engine_renders_prompts_as_training_does_and_the_evaluation_runs() -> None:
    samples = mix.held_out(1)
    with serve(demo_model_path()) as server:
        assert same_prompts(server, samples) == []
        outcomes = [ask(server, sample) for sample in samples]
    assert sum(outcome.right for outcome in outcomes) > len(outcomes) / 2
