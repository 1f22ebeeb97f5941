"""A model is pickled as what makes it: no process, no socket, no secret."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import warnings
from pathlib import Path

import pytest

from rocm_core import GenerateConfig, TextModel, Timeouts, load_model
from rocm_core.backend.remote import RemoteConnection
from rocm_core.config import Engine, LoadConfig, RemoteConfig
from rocm_core.discover.refs import resolve_ref
from rocm_core.errors import AuthenticationError
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_server import FakeServer, answer

SECRET = "sk-stays-here"


def said(model: TextModel) -> str:
    return "".join(token.text for token in model.generate("Hi", max_tokens=4))


def test_a_pickled_model_answers_like_the_first_and_shares_its_server(engine: Engine) -> None:
    with load_model(RECITER, engine=engine, context_len=512, timeout=50) as model:
        expected = said(model)
        with pickle.loads(pickle.dumps(model)) as twin:
            assert said(twin) == expected
            assert twin.connection.config == model.connection.config
            assert twin.connection.pid == model.connection.pid
            assert twin.deadline().limits == model.deadline().limits
        assert said(model) == expected, "the twin had a share of its own"
        closed = pickle.dumps(model)
    with pickle.loads(closed) as again:
        assert said(again) == expected


def _in_another_process(data: bytes, queue: multiprocessing.Queue[str]) -> None:
    with pickle.loads(data) as model:
        queue.put(said(model))


@pytest.mark.slow
def test_another_process_makes_a_model_of_the_pickle(engine: Engine) -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    with load_model(RECITER, engine=engine) as model:
        worker = context.Process(target=_in_another_process, args=(pickle.dumps(model), queue))
        worker.start()
        assert queue.get(timeout=90) == said(model)
        worker.join()
        assert worker.exitcode == 0


def test_options_defaults_and_limits_travel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here.gguf").write_bytes(Path(RECITER).read_bytes())
    monkeypatch.chdir(tmp_path)
    limits, defaults = Timeouts(total=7, idle=3), GenerateConfig(max_tokens=2, seed=5)
    model = load_model("here.gguf", timeouts=limits, generate=defaults, threads=1, max_queue=3)
    monkeypatch.chdir("/")
    twin = pickle.loads(pickle.dumps(model))
    assert twin.recipe == model.recipe
    assert twin.connection.ref.value == str(tmp_path / "here.gguf")
    assert (twin._defaults, twin._timeouts) == (defaults, limits)
    assert twin.connection.config.max_queue == 3
    demo = pickle.loads(pickle.dumps(load_model("demo")))
    assert demo.recipe is not None and demo.recipe.ref == "demo", "wherever the package is there"


def test_no_secret_is_in_a_pickle_and_a_refusal_says_so(scripted: FakeServer) -> None:
    scripted.script("/props", answer("error_401.b11434", 401))
    scripted.script("/v1/models", answer("error_401.b11434", 401))
    url = scripted.url.replace("//", f"//me:{SECRET}@")
    for given in (url, scripted.url):
        model = load_model(given, api_key=SECRET, headers={"x-mine": SECRET}, verify_tls=False)
        data = pickle.dumps(model)
        assert SECRET.encode() not in data
        assert SECRET not in repr(model.recipe)
        twin = pickle.loads(data)
        assert twin.recipe.remote == RemoteConfig(verify_tls=False)
        with pytest.raises(AuthenticationError, match="pickle carries no api_key or headers"):
            twin.load()
        assert pickle.loads(pickle.dumps(twin)).recipe.lost == ("api_key", "headers")


def test_a_pickle_takes_the_key_of_where_it_is_opened(
    scripted: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pickle.dumps(load_model(scripted.url, api_key=SECRET))
    monkeypatch.setenv("LLAMA_ROCM_API_KEY", "sk-of-there")
    assert pickle.loads(data).recipe.remote.api_key == "sk-of-there"


def test_variables_stay_behind_with_a_warning() -> None:
    data = pickle.dumps(load_model("demo", environment={"MY_TOKEN": SECRET}))
    assert SECRET.encode() not in data
    with pytest.warns(UserWarning, match="environment= of this TextModel stayed behind"):
        assert pickle.loads(data).connection.config.environment == ()


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy])
def test_a_copy_in_the_same_program_keeps_its_secrets(make: type) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = load_model("http://127.0.0.1:9", api_key=SECRET)
        twin = make(model)
    assert twin.recipe == model.recipe and twin.connection is not model.connection


def test_a_model_of_a_connection_says_why_it_has_no_recipe() -> None:
    url = "http://127.0.0.1:9"
    model = TextModel(RemoteConnection(resolve_ref(url), LoadConfig(), RemoteConfig()))
    for doing in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="of a connection of your own"):
            doing(model)
