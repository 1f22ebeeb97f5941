"""Options of the settings that have no effect are said, and do no harm."""

from __future__ import annotations

import sys
import warnings

import pytest

from langchain_rocm import ChatRocm
from llama_index_rocm import RocmLLM
from rocm_core import load_model
from tests.support.settings import user_file


def test_load_options_of_the_settings_are_told_with_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    file = user_file("gpu_layers = 3\nmax_queue = 4\nbackend = 'auto'")
    monkeypatch.setenv("LLAMA_ROCM_CONTEXT_LEN", "8192")
    # Of the machine, not of this program.
    monkeypatch.setenv("ROCM_LLAMA_SERVER_PATH", sys.executable)
    for make in (load_model, lambda url: ChatRocm(base_url=url), lambda url: RocmLLM(model=url)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            for _ in range(3):
                make("http://127.0.0.1:9").close()
        (told,) = [str(w.message) for w in caught if "no effect" in str(w.message)]
        assert told == (
            f"context_len (LLAMA_ROCM_CONTEXT_LEN), gpu_layers ({file}): no effect on a server "
            "that already runs"
        )
    monkeypatch.delenv("ROCM_LLAMA_SERVER_PATH")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ChatRocm(model="demo")


def test_load_options_of_the_settings_do_not_trouble_a_running_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLAMA_ROCM_GPU_LAYERS", "20")
    monkeypatch.setenv("LLAMA_ROCM_BACKEND", "cpu")
    monkeypatch.setenv("LLAMA_ROCM_MAX_QUEUE", "3")
    told = (
        "backend (LLAMA_ROCM_BACKEND), gpu_layers (LLAMA_ROCM_GPU_LAYERS): no effect on a server "
        "that already runs"
    )
    with pytest.warns(UserWarning) as caught, load_model("http://host") as model:
        assert model.connection.config.max_queue == 3
    assert [str(warning.message) for warning in caught] == [told]
    with pytest.warns(UserWarning) as caught:
        chat = ChatRocm(base_url="http://host")
        assert chat.text_model.connection.config.gpu_layers == -1
    assert [str(warning.message) for warning in caught] == [told]
