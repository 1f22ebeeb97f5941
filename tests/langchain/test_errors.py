"""Every error of ours is one of LangChain's as well."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Iterator

import pytest
from langchain_core import exceptions as langchain

from langchain_rocm import errors
from rocm_core import errors as rocm


def classes(cls: type[rocm.RocmError]) -> Iterator[type[rocm.RocmError]]:
    for sub in cls.__subclasses__():
        if sub.__module__ == rocm.__name__:
            yield sub
            yield from classes(sub)


@pytest.mark.parametrize("cls", [rocm.RocmError, *classes(rocm.RocmError)])
def test_every_class_has_a_twin(cls: type[rocm.RocmError]) -> None:
    error = cls.__new__(cls, "words")
    error.args = ("words",)
    twin = errors.twin_of(error)
    assert isinstance(twin, cls)
    assert isinstance(twin, langchain.ModelError)
    if cls is not rocm.RocmError:
        assert type(twin).__name__ == cls.__name__
    assert str(twin) == "words"


class _Foreign(rocm.ServerBusy):
    """An error of somebody's own backend."""


def test_a_subclass_gets_the_twin_of_its_base() -> None:
    assert type(errors.twin_of(_Foreign("full", status=503))) is errors.ServerBusy


def test_attributes_cause_and_traceback_stay() -> None:
    def fail() -> None:
        try:
            raise OSError("below")
        except OSError as error:
            raise rocm.ContextOverflow("too long", n_prompt_tokens=9, n_ctx=8) from error

    with pytest.raises(langchain.ContextOverflowError) as caught, errors.model_errors():
        fail()
    error = caught.value
    assert isinstance(error, rocm.ContextOverflow)
    assert (error.n_prompt_tokens, error.n_ctx) == (9, 8)
    assert isinstance(error.__cause__, OSError)
    shown = "".join(traceback.format_exception(error))
    assert "in fail" in shown
    assert shown.count("too long") == 2  # the line that raised it, and the message


def test_twins_survive_pickling() -> None:
    twin = errors.twin_of(rocm.RequestTimeout("late", phase="idle"))
    copy = pickle.loads(pickle.dumps(twin))
    assert type(copy) is errors.RequestTimeout
    assert (str(copy), copy.phase) == ("late", "idle")


def test_other_errors_pass_and_twins_stay() -> None:
    with pytest.raises(KeyError), errors.model_errors():
        raise KeyError("x")
    twin = errors.twin_of(rocm.ServerBusy("full"))
    with pytest.raises(errors.ServerBusy) as caught, errors.model_errors():
        raise twin
    assert caught.value is twin


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (rocm.ServerBusy("full"), True),
        (rocm.ServerUnreachable("gone"), True),
        (rocm.ServerDied("died"), True),
        (rocm.RequestTimeout("late", phase="idle"), True),
        (rocm.ContextOverflow("long"), False),
        (rocm.ServerStopped("closed"), False),
        (rocm.ServerStartError("no"), False),
        (rocm.ConfigError("no"), False),
    ],
)
def test_is_retryable(error: rocm.RocmError, retryable: bool) -> None:
    twin = errors.twin_of(error)
    assert isinstance(twin, langchain.ModelError)
    assert twin.is_retryable is retryable


def test_a_twin_keeps_cause_and_remedy() -> None:
    twin = errors.twin_of(rocm.ServerDied("it died", cause="no memory", remedy="lower context_len"))
    assert (twin.cause, twin.remedy) == ("no memory", "lower context_len")
    assert errors.twin_of(rocm.ConfigError("x")).remedy == ""
