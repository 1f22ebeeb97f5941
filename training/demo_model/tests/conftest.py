"""The model that is shipped, and the real engines; nothing of it is shared with ``tests``."""

from __future__ import annotations

import gguf
import pytest
from tokenizers import Tokenizer

from rocm_core.config import Engine
from rocm_core.demo import demo_model_path
from tests.support.engines import HAS_BINARY, NO_BINARY
from training.demo_model import tokenizer
from training.demo_model.dataset import texts


@pytest.fixture(scope="session", params=["embedded", "binary"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """The name of a real engine; tests that take it run once per engine."""
    name: Engine = request.param
    if name == "binary" and not HAS_BINARY:
        pytest.skip(NO_BINARY)
    return name


@pytest.fixture(scope="session")
def learned() -> Tokenizer:
    """A tokenizer trained on a little text."""
    return tokenizer.train(texts(seed=0, count=1000))


@pytest.fixture(scope="session")
def shipped() -> gguf.GGUFReader:
    """The file of ``model="demo"``."""
    return gguf.GGUFReader(demo_model_path())


@pytest.fixture(scope="session")
def shipped_tokenizer(shipped: gguf.GGUFReader) -> Tokenizer:
    """Its tokenizer, as training has it."""
    names = shipped.fields["tokenizer.ggml.tokens"].contents()
    rules = [tuple(rule.split(" ")) for rule in shipped.fields["tokenizer.ggml.merges"].contents()]
    return tokenizer.assemble({name: number for number, name in enumerate(names)}, rules)
