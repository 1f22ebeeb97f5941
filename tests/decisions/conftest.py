"""A decision model, and an ordinary one with the same weights, on each real engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rocm_core import TextModel, load_model
from rocm_core.config import Engine
from tests.support.models.decider import DECIDER, UNDECIDED


@pytest.fixture(scope="module")
def decider(engine: Engine) -> Iterator[TextModel]:
    """Its probabilities are known (``decider.probabilities``)."""
    with load_model(DECIDER, engine=engine) as model:
        yield model


@pytest.fixture(scope="module")
def undecided(engine: Engine) -> Iterator[TextModel]:
    """It has the same scores for the labels, and is an ordinary chat model."""
    with load_model(UNDECIDED, engine=engine) as model:
        yield model
