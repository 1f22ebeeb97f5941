"""``RocmDecisions``: in LangChain's middlewares, on real engines and on scripted servers."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("langchain_core.decisions", reason="langchain-core 1.8 has decision models")

from langchain_core import decisions as langchain
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import SecretStr

from langchain_rocm import RocmDecisions, errors
from rocm_core.config import Engine
from tests.support.models.decider import DECIDER, UNDECIDED, probabilities
from tests.support.servers.fake_server import FakeServer, answer

QUESTIONS: dict[str, Any] = {
    "route": langchain.Choice(instructions="Which?", criteria={"a": "x", "b": None, "c": 3}),
    "angry": langchain.Noul(
        instructions={"q": "Is it?"}, criteria=langchain.NoulCriteria(true="shouts")
    ),
    "urgent": langchain.Score(instructions="How much?", criteria=["low", {"mid": 1}, "high"]),
}
IMAGE: Any = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}
URL = "data:image/png;base64,AAAA"


@pytest.fixture(scope="module", params=[DECIDER, UNDECIDED], ids=["decider", "undecided"])
def decisions(request: pytest.FixtureRequest, engine: Engine) -> Iterator[RocmDecisions]:
    decisions = RocmDecisions(model=request.param, engine=engine)
    yield decisions
    decisions.close()


def check(response: Any, model: str) -> None:
    three = probabilities(3)
    assert isinstance(response, langchain.ClassifierResponse)
    route, angry, urgent = (response.answers[name] for name in QUESTIONS)
    assert isinstance(route, langchain.ChoiceAnswer)
    assert route.choice == "a"
    assert list(route.probabilities.values()) == pytest.approx(three, abs=2e-3)
    assert isinstance(angry, langchain.NoulAnswer)
    assert angry.noul == pytest.approx(probabilities(2)[0], abs=2e-3)
    assert isinstance(urgent, langchain.ScoreAnswer)
    assert urgent.legend == {0: "low", 1: {"mid": 1}, 2: "high"}
    assert list(urgent.probabilities.values()) == pytest.approx(three, abs=2e-3)
    assert response.model == ("decider" if model == DECIDER else "undecided")
    origin = "decision model" if model == DECIDER else "constrained token"
    assert getattr(response, "origin", "") == origin
    assert response.usage is not None
    assert response.usage["output_tokens"] == (0 if model == DECIDER else len(QUESTIONS))
    assert response.usage["total_tokens"] > response.usage["input_tokens"] - 1 > 0


async def test_every_kind_of_question_sync_and_async(decisions: RocmDecisions) -> None:
    asked: Any = {"state": [HumanMessage("Hello")], "questions": QUESTIONS}
    check(await asyncio.to_thread(decisions.invoke, asked), decisions.model)
    check(await decisions.ainvoke(asked), decisions.model)
    for response in await decisions.abatch([asked] * 3):
        check(response, decisions.model)


# -- the middlewares of LangChain's agents -----------------------------------------------------


@pytest.fixture
def agents() -> Any:
    return pytest.importorskip("langchain.agents", reason="pip install langchain runs these")


def _models() -> tuple[Any, Any]:
    from langchain_core.language_models import GenericFakeChatModel

    def model(name: str) -> Any:
        return GenericFakeChatModel(messages=iter([AIMessage(name)] * 9))

    return model("from the fast"), model("from the powerful")


def routed(agents: Any, decisions: RocmDecisions) -> Any:
    from langchain.agents.middleware import ModelChoice, ModelRouterMiddleware

    fast, powerful = _models()
    router = ModelRouterMiddleware(
        choices={"fast": ModelChoice(fast, "Simple."), "powerful": ModelChoice(powerful, "Hard.")},
        instructions="Choose a model.",
        classifier=decisions,
    )
    return agents.create_agent(powerful, middleware=[router])


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
async def test_a_model_router_on_real_engines(agents: Any, decisions: RocmDecisions) -> None:
    agent, ask = routed(agents, decisions), {"messages": [HumanMessage("Hello")]}
    for state in (await asyncio.to_thread(agent.invoke, ask), await agent.ainvoke(ask)):
        assert state["messages"][-1].text == "from the fast"
        assert state["model_route"].choice == "fast"
        assert state["model_route"].probabilities["fast"] == pytest.approx(0.622, abs=3e-3)


CALL = {"name": "delete", "args": {"path": "/x"}, "id": "1", "type": "tool_call"}


def guarded(agents: Any, decisions: RocmDecisions, deleted: list[str]) -> Any:
    from langchain.agents.middleware import AutoModeMiddleware
    from langchain_core.language_models import GenericFakeChatModel
    from langchain_core.tools import tool

    class Caller(GenericFakeChatModel):
        def bind_tools(self, tools: Any, **options: Any) -> Any:
            return self

    @tool
    def delete(path: str) -> str:
        """Delete a file."""
        deleted.append(path)
        return "done"

    said = [AIMessage("", tool_calls=[CALL]), AIMessage("over")] * 2
    model = Caller(messages=iter(said))
    auto = AutoModeMiddleware(tools=[delete], classifier=decisions)
    return agents.create_agent(model, [delete], middleware=[auto])


async def test_auto_mode_on_real_engines(agents: Any, decisions: RocmDecisions) -> None:
    """Yes comes first, and so has the larger probability: the call is risky."""
    deleted: list[str] = []
    agent, ask = guarded(agents, decisions, deleted), {"messages": [HumanMessage("Tidy up")]}
    for state in (await asyncio.to_thread(agent.invoke, ask), await agent.ainvoke(ask)):
        [result] = [m for m in state["messages"] if isinstance(m, ToolMessage)]
        assert result.status == "error"
        assert "classified as risky (probability: 0.62)" in str(result.content)
    assert deleted == []


def says(server: FakeServer, answers: Any) -> None:
    body = {"model": "m", "answers": answers, "usage": {"input_tokens": 5, "output_tokens": 0}}
    server.script("/v1/systemone", answer(json.dumps(body).encode()))


async def test_auto_mode_lets_a_harmless_call_pass(agents: Any, scripted: FakeServer) -> None:
    says(scripted, {"is_risky": {"type": "noul", "noul": 0.1}})
    deleted: list[str] = []
    agent = guarded(agents, RocmDecisions(base_url=scripted.url), deleted)
    ask = {"messages": [SystemMessage("Be kind"), HumanMessage("Tidy up")]}
    agent.invoke(ask)
    await agent.ainvoke(ask)
    assert deleted == ["/x", "/x"]
    [sent, _] = [r.body for r in scripted.requests if r.path == "/v1/systemone"]
    assert sent["state"]["tool_call"] == {"id": "1", "name": "delete", "args": {"path": "/x"}}
    assert sent["state"]["tool_description"] == "Delete a file."
    assert [message["role"] for message in sent["state"]["messages"]] == [
        *("system", "user", "assistant")
    ]
    assert sent["state"]["messages"][2]["tool_calls"][0]["function"]["name"] == "delete"


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
async def test_a_router_takes_what_the_server_says(agents: Any, scripted: FakeServer) -> None:
    shares = {"fast": 0.2, "powerful": 0.8}
    told = {"choice": "powerful", "probabilities": shares, "confidence": 0.6}
    says(scripted, {"model_route": {"type": "choice", **told}})
    agent = routed(agents, RocmDecisions(base_url=scripted.url))
    ask = {"messages": [HumanMessage("Prove it")]}
    for state in (agent.invoke(ask), await agent.ainvoke(ask)):
        assert state["messages"][-1].text == "from the powerful"
        assert state["model_route"].confidence == 0.6


# -- what is sent ------------------------------------------------------------------------------


def sent(server: FakeServer, state: Any) -> dict[str, Any]:
    says(server, {"q": {"type": "noul", "noul": 0.5}})
    decisions = RocmDecisions(base_url=server.url)
    decisions.invoke({"state": state, "questions": {"q": langchain.Noul(instructions="Is it?")}})
    body: dict[str, Any] = server.requests[-1].body
    return body


def test_messages_and_images_anywhere_in_the_state(scripted: FakeServer) -> None:
    message = HumanMessage([{"type": "text", "text": "See"}, IMAGE])
    body = sent(scripted, {"deep": [message, "x", {"shot": IMAGE, "type": "file"}], "n": 1.5})
    assert body["images"] == [URL, URL]
    [first, text, rest] = body["state"]["deep"]
    assert first == {
        "role": "user",
        "content": [{"type": "text", "text": "See"}, "[image 1]"],
    }
    assert (text, rest) == ("x", {"shot": "[image 2]", "type": "file"})
    assert body["state"]["n"] == 1.5
    assert sent(scripted, HumanMessage("Hi"))["state"] == {"role": "user", "content": "Hi"}
    assert "images" not in sent(scripted, "text")


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"type": "image", "url": "https://there/a.png"}, "needs its data"),
        ({"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"}, "no audio"),
        ({"type": "video", "base64": "AAAA", "mime_type": "video/mp4"}, "no video"),
        ({"type": "file", "base64": "AAAA", "mime_type": "application/pdf"}, "no PDF"),
    ],
)
def test_media_that_no_decision_model_takes(scripted: FakeServer, block: Any, said: str) -> None:
    with pytest.raises(errors.ConfigError, match=said):
        sent(scripted, {"x": [block]})


def test_media_in_a_question_are_refused() -> None:
    question = langchain.Choice(instructions="Which?", criteria={"a": {"picture": [IMAGE]}})
    with pytest.raises(errors.ConfigError, match="'q' has a block of type 'image'"):
        RocmDecisions(base_url="http://127.0.0.1:9").invoke(
            {"state": "x", "questions": {"q": question}}
        )


def test_a_box_is_asked_and_read(scripted: FakeServer) -> None:
    edges = {"top": 0.1, "bottom": 0.2, "left": 0.3, "right": 0.4}
    says(scripted, {"b": {"type": "box", "box": edges}})
    response = RocmDecisions(base_url=scripted.url).invoke(
        {"state": "x", "questions": {"b": langchain.Box(instructions="the cat")}}
    )
    assert response.boxes["b"].box.model_dump() == edges
    assert scripted.requests[-1].body["questions"]["b"]["type"] == "box"


# -- one of LangChain's objects ----------------------------------------------------------------


def test_errors_are_langchains_too(engine: Engine) -> None:
    from langchain_core.exceptions import ModelInvalidRequestError

    decisions = RocmDecisions(model=UNDECIDED, engine=engine, calibrated=True)
    for caught in (errors.NotSupported, ModelInvalidRequestError):
        with pytest.raises(caught, match="Load a decision model"):
            decisions.invoke({"state": "x", "questions": QUESTIONS})
    decisions.close()


async def test_traces_name_the_model_and_no_key(scripted: FakeServer) -> None:
    seen: list[Any] = []

    from langchain_core.callbacks import BaseCallbackHandler

    class Watch(BaseCallbackHandler):
        def on_chain_start(self, *args: Any, **fields: Any) -> None:
            seen.append((args, fields))

        on_llm_start = on_chain_start

    says(scripted, {"q": {"type": "noul", "noul": 0.5}})
    decisions = RocmDecisions(
        base_url=scripted.url, model_name="mine", api_key=SecretStr("sk-secret")
    )
    asked: Any = {"state": "x", "questions": {"q": langchain.Noul(instructions="Is it?")}}
    await decisions.ainvoke(asked, {"callbacks": [Watch()]})
    assert seen
    _, fields = seen[0]
    assert fields["metadata"]["ls_provider"] == "rocm"
    assert fields["metadata"]["ls_model_name"]
    assert "sk-secret" not in repr(seen) + repr(decisions)


def test_a_pickled_copy_decides(engine: Engine) -> None:
    with_options = RocmDecisions(model=DECIDER, engine=engine, name="router")
    twin = pickle.loads(pickle.dumps(with_options))
    assert (twin.model, twin.name, twin.calibrated) == (DECIDER, "router", False)
    check(twin.invoke({"state": "x", "questions": QUESTIONS}), DECIDER)
    twin.close()


def test_without_decision_models_it_says_what_to_install() -> None:
    """As langchain-core 1.7 does: it has no such module."""
    import subprocess
    import sys

    code = """
import sys
sys.modules["langchain_core.decisions"] = None
from langchain_rocm import *
try:
    RocmDecisions(model="demo")
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install -U 'langchain-core>=1.8'" in done.stdout
