"""What a load was asked for is there, or somebody says so: adapters, drafts, templates, modes."""

from __future__ import annotations

import asyncio
import socket
import threading
import warnings
from pathlib import Path

import pytest

from rocm_core import GenerateConfig, LoadConfig, Server, TextModel, load_model, resolve_ref
from rocm_core.config import Engine
from rocm_core.demo import demo_model_path
from rocm_core.errors import ConfigError, InvalidRequest, NotSupported, PortInUse, ServerStartError
from tests.support.engines import make_server, wrapped
from tests.support.models.adapter import ADAPTED, build
from tests.support.models.reciter import ANSWER, RECITER
from tests.support.models.vision import build as build_projector
from tests.support.servers.fake_engines import broken
from tests.support.servers.hub import Hub

HI = [{"role": "user", "content": "Hi"}]
JINJA = "{% for m in messages %}<{{ m.content }}>{% endfor %}"


def said(model: TextModel, max_tokens: int = 256) -> str:
    return "".join(token.text for token in model.chat(HI, max_tokens=max_tokens))


def prompt(model: TextModel) -> str:
    model.load()
    return model.connection.client.apply_template(HI)


# -- LoRA adapters --------------------------------------------------------------------------


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return build(tmp_path / "adapter.gguf")


def test_an_adapter_changes_the_answer_as_far_as_its_scale_says(
    engine: Engine, adapter: Path
) -> None:
    for given, expected in (
        (adapter, ADAPTED),
        (f"{adapter}:1", ADAPTED),
        (f"{adapter}:0.75", ADAPTED),
        (f"{adapter}:0.25", ANSWER),
        (f"{adapter}:0", ANSWER),
    ):
        with load_model(RECITER, engine=engine, lora=[given]) as model:
            assert said(model) == expected, given


def test_adapters_may_have_commas_colons_quotes_and_a_home(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    names = ["a,b.gguf", "c:d.gguf", 'e"f.gguf', "g h.gguf"]
    for name in names:
        build(tmp_path / name)
    given = ["~/a,b.gguf:0.5", tmp_path / "c:d.gguf", str(tmp_path / 'e"f.gguf'), "~/g h.gguf:-2"]
    server = make_server(engine, lora=given)
    server.start()
    listed = server.client.lora_adapters()
    assert [Path(found["path"]).name for found in listed] == names
    assert [found["scale"] for found in listed] == [0.5, 1.0, 1.0, -2.0]
    server.stop()


def test_the_scales_of_adapters_in_extra_args_are_left_alone(engine: Engine, adapter: Path) -> None:
    further = build(adapter.with_name("further.gguf"))
    more = ["--lora-scaled", f"{further}:0.25"]
    server = make_server(engine, lora=[f"{adapter}:0.5"], extra_args=more)
    server.start()
    assert [found["scale"] for found in server.client.lora_adapters()] == [0.5, 0.25]
    server.stop()


def test_scales_can_be_set_while_the_server_runs(engine: Engine, adapter: Path) -> None:
    with load_model(RECITER, engine=engine, lora=[adapter]) as model:
        assert said(model) == ADAPTED
        model.connection.client.set_lora_adapters({0: 0.0})
        assert said(model) == ANSWER
        asyncio.run(model.connection.aclient.set_lora_adapters({0: 1.0}))
        assert said(model) == ADAPTED


def test_an_adapter_that_is_not_there_ends_the_start(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(ServerStartError, match=r"gone\.gguf could not be opened"):
        make_server(engine, lora=[tmp_path / "gone.gguf"]).start()


# Runs the real program without these flags, as a build would that drops what it cannot use.
DROPPING = """
n=$#
while [ $n -gt 0 ]; do
  a=$1; shift; n=$((n-1))
  case $a in
    --lora|--mmproj) shift; n=$((n-1)) ;;
    *) set -- "$@" "$a" ;;
  esac
done"""


def test_what_the_server_drops_ends_the_start(
    llama_server: None, tmp_path: Path, adapter: Path
) -> None:
    program = wrapped("binary", tmp_path, DROPPING)
    projector = tmp_path / "mmproj.gguf"
    build_projector(projector, 64)
    for options, words in (
        ({"lora": [adapter]}, r"has not loaded .*adapter\.gguf.*lists none"),
        ({"mmproj": projector}, r"takes neither images nor audio.*mmproj\.gguf"),
    ):
        server = Server(resolve_ref(RECITER), LoadConfig(server_path=program, **options))
        with pytest.raises(ServerStartError, match=words):
            server.start()
        assert server.pid is None


# -- drafts ---------------------------------------------------------------------------------


def test_a_draft_model_drafts(engine: Engine) -> None:
    with (
        load_model(RECITER, engine=engine, draft_model=RECITER) as model,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error")
        events = list(model.chat_events(HI, GenerateConfig(max_tokens=200)))
    timings = events[-1].timings
    assert timings is not None
    assert timings.draft_n > 0
    assert timings.draft_n_accepted == timings.draft_n
    assert "".join(event.text for event in events) == ANSWER


def test_a_draft_model_that_drafts_nothing_is_told_once(engine: Engine) -> None:
    # Another vocabulary: the server logs an error, and answers without drafts.
    draft = demo_model_path()
    with (
        load_model(RECITER, engine=engine, draft_model=draft) as model,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        assert len(said(model, max_tokens=3)) > 0
        assert not caught  # too short to tell
        assert said(model) == ANSWER
        assert said(model) == ANSWER
    [only] = caught
    assert "demo.gguf is loaded and not used: none of" in str(only.message)
    assert "same vocabulary" in str(only.message)


def test_asyncio_warns_as_well(engine: Engine) -> None:
    async def ask(model: TextModel) -> None:
        async for _ in model.achat(HI):
            pass

    with (
        load_model(RECITER, engine=engine, draft_model=demo_model_path()) as model,
        pytest.warns(RuntimeWarning, match="loaded and not used"),
    ):
        asyncio.run(ask(model))


# -- workers and projectors -----------------------------------------------------------------


def rpc_server(tmp_path: Path) -> Path:
    """A llama-server that knows --rpc, and ignores absent workers, as the real one does."""
    program = broken(tmp_path, "exit 7")
    program.write_text(program.read_text().replace("--model x", "--model x\n--rpc SERVERS  x"))
    return program


def test_an_absent_worker_is_an_error_before_anything_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as worker:
        there = f"127.0.0.1:{worker.getsockname()[1]}"
        with socket.create_server(("127.0.0.1", 0)) as other:
            gone = f"127.0.0.1:{other.getsockname()[1]}"
        config = LoadConfig(server_path=rpc_server(tmp_path), rpc_servers=[there, gone])
        with pytest.raises(ServerStartError, match=f"nothing answers at {gone}.*rpc-server -H"):
            Server(resolve_ref(RECITER), config).start()
        config = LoadConfig(server_path=rpc_server(tmp_path), rpc_servers=[there])
        with pytest.raises(ServerStartError, match="exited with code 7"):
            Server(resolve_ref(RECITER), config).start()


@pytest.mark.parametrize("address", ["localhost", ":50052", "host:port", "host:70000"])
def test_an_address_of_a_worker_has_a_port(tmp_path: Path, address: str) -> None:
    config = LoadConfig(server_path=rpc_server(tmp_path), rpc_servers=[address])
    with pytest.raises(ConfigError, match="takes addresses host:port"):
        Server(resolve_ref(RECITER), config).start()


@pytest.mark.parametrize("address", ["192.0.2.1:50052", "worker.invalid:50052", "[fe80::1]:50052"])
def test_a_worker_on_another_machine_needs_a_word(tmp_path: Path, address: str) -> None:
    config = LoadConfig(server_path=rpc_server(tmp_path), rpc_servers=[address])
    with pytest.raises(ConfigError, match="fragile and insecure.*allow_insecure_rpc=True"):
        Server(resolve_ref(RECITER), config).start()
    for here in ("127.0.0.1:1", "localhost:1", "[::1]:1"):
        LoadConfig(rpc_servers=[here]).check_rpc_servers()
    LoadConfig(rpc_servers=[address], allow_insecure_rpc=True).check_rpc_servers()


def test_a_build_without_workers_says_so(llama_server: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as worker:
        address = f"127.0.0.1:{worker.getsockname()[1]}"
        with pytest.raises(ServerStartError, match=r"cannot use rpc_servers.*GGML_RPC=ON"):
            make_server("binary", rpc_servers=[address]).start()


@pytest.mark.engine
def test_the_embedded_engine_refuses_workers_in_its_own_name() -> None:
    with pytest.raises(
        ConfigError, match=r"embedded engine \(xllamacpp [\d.]+\) has no --rpc, which rpc_servers"
    ):
        make_server("embedded", rpc_servers=["127.0.0.1:1"]).start()


def test_a_projector_that_is_there_is_no_error(engine: Engine, tmp_path: Path) -> None:
    projector = tmp_path / "mmproj.gguf"
    build_projector(projector, 64)
    server = make_server(engine, mmproj=projector)
    server.start()
    assert server.client.props().modalities["vision"]
    server.stop()


# -- templates ------------------------------------------------------------------------------


def test_a_template_is_what_it_looks_like(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text(JINJA, encoding="utf-8")
    for options in (
        {"chat_template": JINJA},
        {"chat_template": str(file)},
        {"chat_template": file},
        {"chat_template_file": str(file)},
    ):
        with load_model(RECITER, engine=engine, **options) as model:
            assert prompt(model) == "<Hi>", options


def test_a_name_is_a_template_of_llama_cpp_and_no_text(engine: Engine) -> None:
    with load_model(RECITER, engine=engine, chat_template="llama3") as model:
        assert "<|start_header_id|>user<|end_header_id|>" in prompt(model)
    with load_model(RECITER, engine=engine, chat_template="chatml") as model:
        assert prompt(model).startswith("<|im_start|>user\nHi<|im_end|>")


def test_a_name_that_nobody_knows_ends_the_start(engine: Engine) -> None:
    with pytest.raises(ServerStartError, match="chat template cannot be used"):
        make_server(engine, chat_template="nobody-knows-it").start()


def test_a_path_without_a_file_starts_nothing(engine: Engine) -> None:
    server = make_server(engine, chat_template="/srv/gone.jinja")
    with pytest.raises(ConfigError, match="looks like a path"):
        server.start()
    assert server.pid is None


def test_a_template_may_be_longer_than_an_argument(engine: Engine, tmp_path: Path) -> None:
    # Linux takes 128 KiB for one argument (E2BIG).
    text = JINJA + "{# " + "x" * 200_000 + " #}"
    with load_model(RECITER, engine=engine, chat_template=text) as model:
        assert prompt(model) == "<Hi>"
        server = model.connection.server  # type: ignore[attr-defined]
        assert len(" ".join(server._handle.command)) < 10_000


# -- modes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["none", "mmap", "dio"])
def test_the_load_mode_reaches_the_loader(engine: Engine, mode: str) -> None:
    # Fitting loads nothing, in a mode of its own, and logs that too.
    telling = ["--log-verbosity", "4", "--fit", "off"]
    server = make_server(engine, load_mode=mode, extra_args=telling)
    said = threading.Event()

    def look(event: object) -> None:
        if f"(load_mode = {mode})" in str(getattr(event, "text", "")):
            said.set()

    with server.subscribe(look):
        server.start()
        assert said.wait(10)
    server.stop()


@pytest.mark.parametrize("flag", ["--no-mmap", "--mlock", "-dio"])
def test_flags_that_are_gone_name_the_option_in_their_place(engine: Engine, flag: str) -> None:
    with pytest.raises(ServerStartError, match=f"no longer has the argument {flag}.*load_mode"):
        make_server(engine, extra_args=[flag]).start()


def test_the_size_of_the_prompt_cache_reaches_the_engine(engine: Engine) -> None:
    server = make_server(engine, extra_args=["--cache-ram", "77", "--log-verbosity", "4"])
    said = threading.Event()

    def look(event: object) -> None:
        if "size limit: 77 MiB" in str(getattr(event, "text", "")):
            said.set()

    with server.subscribe(look):
        server.start()
        assert said.wait(10)
    server.stop()


# -- downloads ------------------------------------------------------------------------------


def test_a_download_is_loaded(engine: Engine, tmp_path: Path) -> None:
    with Hub({"org/tiny": ["tiny-Q4_K_M.gguf"]}, Path(RECITER).read_bytes()) as hub:
        environment = {**hub.environment(tmp_path), "HF_TOKEN": "hf_of_this_test"}
        with load_model("org/tiny:Q4_K_M", engine=engine, environment=environment) as model:
            assert said(model) == ANSWER
    assert "Bearer hf_of_this_test" in hub.keys
    assert any(asked.endswith("/tiny-Q4_K_M.gguf") for asked in hub.asked)


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("org/tiny:Q8_0", r"org/tiny has no GGUF file of that quantization.*lists its files"),
        ("org/gone", r"refuses the repository \(HTTP 404\).*HF_TOKEN"),
    ],
)
def test_a_download_that_the_hub_does_not_have_is_told(
    engine: Engine, tmp_path: Path, ref: str, words: str
) -> None:
    with Hub({"org/tiny": ["tiny-Q4_K_M.gguf"]}, b"GGUF") as hub:
        server = make_server(engine, ref, environment=hub.environment(tmp_path))
        with pytest.raises(ServerStartError, match=words):
            server.start()


def test_a_download_without_a_network_is_told(engine: Engine, tmp_path: Path) -> None:
    with Hub({}, b"") as hub:
        environment = hub.environment(tmp_path)
    config = LoadConfig(engine=engine, environment=environment)
    with pytest.raises(ServerStartError, match=r"could not be downloaded: .*HF_ENDPOINT"):
        Server(resolve_ref("org/tiny"), config).start()
    offline = LoadConfig(engine=engine, environment=environment, extra_args=["--offline"])
    with pytest.raises(ServerStartError, match=r"not on this machine.*without --offline"):
        Server(resolve_ref("org/tiny"), offline).start()


# -- words ----------------------------------------------------------------------------------


def test_a_failure_names_the_engine_that_refused(engine: Engine) -> None:
    name = "llama-server, loading" if engine == "binary" else r"the embedded engine \(xllamacpp "
    with pytest.raises(ServerStartError, match=f"^{name}.*--frobnicate.*Remedy: ") as caught:
        make_server(engine, extra_args=["--frobnicate"]).start()
    assert not any("runpy" in line for line in caught.value.log_tail)


def test_a_taken_port_has_a_remedy(engine: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(PortInUse, match=r"Remedy: choose another port, port=0"):
            make_server(engine, port=port).start()
    other = make_server(engine, port=0)
    other.start()
    port = int((other.url or "").rpartition(":")[2])
    with pytest.raises(PortInUse, match=r"port=0"):
        make_server(engine, port=port).start()
    other.stop()


def test_embedding_with_a_chat_model_has_a_remedy(engine: Engine, model: TextModel) -> None:
    with pytest.raises(NotSupported, match="embeddings=True"):
        model.embed(["x"])
    with pytest.raises(NotSupported, match="rerank=True"):
        model.rerank("x", ["y"])
    with (
        load_model(RECITER, engine=engine, embeddings=True) as chat_model,
        pytest.raises(InvalidRequest, match=r"no pooling of its own.*pooling='mean'"),
    ):
        chat_model.embed(["x"])


def test_a_wrapped_engine_is_a_program(engine: Engine, tmp_path: Path) -> None:
    program = wrapped(engine, tmp_path, "echo 'bind: Address already in use' >&2; exit 1")
    with pytest.raises(PortInUse, match="^llama-server, loading .*port=0"):
        Server(resolve_ref(RECITER), LoadConfig(server_path=program)).start()
