"""In a real Jupyter kernel, with a real engine: what a reader of a notebook sees."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.kernel import Kernel, kernel

pytestmark = [pytest.mark.slow, pytest.mark.engine]

SETUP = """
import asyncio
import threading
import time
from langchain_rocm import ChatRocm
from llama_index_rocm import RocmLLM
from rocm_core import load_model, list_gpus, run_doctor
ENDLESS = dict(ignore_eos=True, max_tokens=100_000, temperature=0)
chat = ChatRocm(model="demo", **ENDLESS)
llm = RocmLLM(model="demo", **ENDLESS)
model = load_model("demo")

def tell_when_busy():
    def tell():
        while not any(slot["is_processing"] for slot in model.connection.client.slots()):
            time.sleep(0.01)
        print("busy", flush=True)
    threading.Thread(target=tell).start()
"""
# Frameworks, HTTP and asyncio: a hundred lines and more, before.
SHORT = 8


@pytest.fixture(scope="module")
def notebook() -> Iterator[Kernel]:
    with kernel() as started:
        assert not started.run(SETUP).traceback
        yield started


def test_a_load_is_shown_once_and_leaves_one_line(notebook: Kernel) -> None:
    first = notebook.run(
        "m = load_model('demo', context_len=1024)\n"
        "infos = await asyncio.gather(*[m.aload() for _ in range(3)])"
    )
    assert len(first.shown) == 1
    for fact in ("demo", "1024 tokens of context", "of memory", "loaded in"):
        assert fact in first.text
    assert not notebook.run("m.load();").shown
    notebook.run("m.close()")


def test_a_slow_load_counts_seconds_in_the_same_place(notebook: Kernel) -> None:
    code = """
from contextlib import nullcontext
import time
from rocm_core.display.loading import load_display
with load_display("key", "a large model") as shown:
    time.sleep(0.4); shown.progress(0.5); time.sleep(0.6); shown.loaded(["8192 tokens of context"])
"""
    output = notebook.run(code)
    assert len(output.shown) == 1 and output.updates >= 2
    assert "a large model · 8192 tokens of context · loaded in" in output.text


def test_nothing_is_shown_where_nobody_looks(notebook: Kernel) -> None:
    output = notebook.run("with load_model('demo', context_len=768) as m: m.load()", asks=False)
    assert not output.shown and not output.printed


@pytest.mark.parametrize(
    "call",
    [
        "chat.invoke('Hello')",
        "await chat.ainvoke('Hello')",
        "for _ in chat.stream('Hello'): pass",
        "async for _ in chat.astream('Hello'): pass",
        "await chat.abatch(['Hello', 'What are you?'])",
        "llm.complete('Hello')",
        "await llm.acomplete('Hello')",
        "for _ in llm.stream_complete('Hello'): pass",
        "for _ in model.generate('Hello', ignore_eos=True, max_tokens=100_000): pass",
    ],
)
def test_an_interrupt_is_told_in_few_lines_and_keeps_the_server(
    notebook: Kernel, call: str
) -> None:
    notebook.run("model.load(); pid = model.connection.pid")
    output = notebook.run(f"tell_when_busy()\n{call}", interrupt_after="busy")
    assert 0 < len(output.traceback) < SHORT, "\n".join(output.traceback)
    assert call in "\n".join(output.traceback)
    after = notebook.run(
        "print(model.connection.pid == pid, next(iter(llm.stream_complete('Hi'))).delta != '')"
    )
    assert after.printed.split() == ["True", "True"]


@pytest.mark.parametrize("call", ["made.invoke('Hello')", "await made.ainvoke('Hello')"])
def test_an_interrupt_while_the_model_is_made_is_told_alike(notebook: Kernel, call: str) -> None:
    setup = """
import time
import rocm_core.model.text_model as module
made, real = ChatRocm(model="demo", context_len=896), module.load_model
def slow(*arguments, **given):
    print("begun", flush=True)
    time.sleep(2)
    return real(*arguments, **given)
module.load_model = slow
"""
    notebook.run(setup)
    output = notebook.run(call, interrupt_after="begun")
    notebook.run("module.load_model = real; made.close()")
    assert 0 < len(output.traceback) < SHORT, "\n".join(output.traceback)


def test_an_error_is_a_short_box(notebook: Kernel) -> None:
    lines = notebook.run("ChatRocm(model='none.gguf').invoke('Hello')").traceback
    assert len(lines) < SHORT and "ModelNotFound" in lines[0]
    assert "invoke('Hello')" in lines[1] and "llama-rocm models" in "\n".join(lines)
    notebook.run("%xmode Verbose")
    assert len(notebook.run("ChatRocm(model='none.gguf').invoke('Hello')").traceback) > 50
    notebook.run("%xmode Context")


def test_models_servers_gpus_and_doctor_are_tables(notebook: Kernel) -> None:
    notebook.run("model.load()")
    for expression in (
        "model",
        "chat",
        "llm",
        "model.connection.server",
        "run_doctor(allow_cpu=True)",
    ):
        output = notebook.run(expression)
        assert "<table>" in output.html, expression
    assert notebook.run("llm").text.count("\n") == 0
    assert "no AMD GPU" in notebook.run("list_gpus('nowhere')").html


def test_a_cell_is_answered_by_the_model_that_it_names(notebook: Kernel) -> None:
    notebook.run("%load_ext rocm_core.notebook")
    output = notebook.run("%%rocm demo temperature=0 max_tokens=12\nHello")
    assert output.printed.startswith("Hello")
    stopped = notebook.run(
        "%%rocm demo ignore_eos=true max_tokens=100000\nHello", interrupt_after="ello"
    )
    assert "(stopped)" in stopped.printed and not stopped.traceback
    assert "demo" in notebook.run("%rocm_ps").html
    refused = notebook.run("%%rocm demo no_such=1\nHello").traceback
    assert "no_such" in "\n".join(refused)


def test_the_plot_moves_while_other_cells_run(notebook: Kernel) -> None:
    notebook.run("%load_ext rocm_core.notebook\nmodel.load()")
    begun = notebook.run("%rocm_top 60 0.1")
    assert "<svg" in begun.html
    notebook.run("for _ in model.generate('Hello', ignore_eos=True, max_tokens=3000): pass")
    ended = notebook.run("%rocm_top stop")
    assert "<polyline" in ended.html and "tokens/s" in ended.html
    assert "seconds" in "\n".join(notebook.run("%rocm_top soon").traceback).lower()


def test_unloading_closes_what_the_magics_opened(notebook: Kernel) -> None:
    notebook.run("%load_ext rocm_core.notebook")
    notebook.run("%%rocm demo context_len=1280 max_tokens=2\nHello")
    assert " 1280 " in notebook.run("%rocm_ps").text
    notebook.run("%unload_ext rocm_core.notebook")
    assert "not found" in notebook.run("%rocm_ps").printed
    notebook.run("%load_ext rocm_core.notebook")
    assert " 1280 " not in notebook.run("%rocm_ps").text
