"""The network's shape without PyTorch, the network with it."""

from __future__ import annotations

import gguf
import pytest

from training.demo_model.export import tensor_name
from training.demo_model.shape import Shape


def test_the_shape_is_that_of_the_shipped_model(shipped: gguf.GGUFReader) -> None:
    told = {tensor_name(name): shape for name, shape in Shape().parameters().items()}
    found = {t.name: tuple(int(n) for n in reversed(t.shape)) for t in shipped.tensors}
    assert list(told.items()) == list(found.items())


def test_the_network_has_the_parameters_that_its_shape_tells() -> None:
    pytest.importorskip("torch", reason='pip install -e ".[training]" runs this')
    from training.demo_model.network import Network

    shape = Shape(vocabulary=64, layers=2)
    found = {name: tuple(p.shape) for name, p in Network(shape).named_parameters()}
    assert list(found.items()) == list(shape.parameters().items())
