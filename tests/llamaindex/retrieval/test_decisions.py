"""``RocmSelector`` and ``RocmDecisionRerank`` on both engines, and what they send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.base.response.schema import Response
from llama_index.core.query_engine import CustomQueryEngine, RouterQueryEngine
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.tools import QueryEngineTool, ToolMetadata
from pydantic import SecretStr

from llama_index_rocm import RocmDecisionRerank, RocmLLM, RocmSelector
from rocm_core import YesNo, load_model
from rocm_core.config import Engine
from rocm_core.errors import ConfigError, EndpointNotFound, NotSupported
from tests.support.models.decider import DECIDER, UNDECIDED, probabilities
from tests.support.models.reciter import RECITER
from tests.support.servers.fake_server import FakeServer, Request, answer

SYSTEM_ONE = "/v1/systemone"
NODES = [NodeWithScore(node=TextNode(text=text), score=0.1) for text in ("cat", "dog", "ship")]


class Engine_(CustomQueryEngine):
    text: str

    def custom_query(self, query_str: str) -> str:
        return f"{self.text}: {query_str}"


TOOLS = [
    QueryEngineTool(
        query_engine=Engine_(text=name),
        metadata=ToolMetadata(name=name, description=f"about {name}s"),
    )
    for name in ("cat", "dog")
]


@pytest.fixture(scope="module")
def new_engine(engine: Engine) -> Engine:
    """An engine with ``POST /v1/systemone``, which the oldest that we support does not have."""
    with load_model(DECIDER, engine=engine) as model:
        try:
            model.decide("a cat", {"purrs": YesNo("Does it purr?")})
        except EndpointNotFound as error:
            assert "need b11434 or newer" in str(error)
            pytest.skip(str(error))
    return engine


@pytest.fixture(scope="module", params=[DECIDER, UNDECIDED], ids=["decider", "undecided"])
def model_name(request: pytest.FixtureRequest) -> str:
    if request.param == DECIDER:
        request.getfixturevalue("new_engine")
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def selector(model_name: str, engine: Engine) -> Iterator[RocmSelector]:
    selector = RocmSelector(model=model_name, engine=engine)
    yield selector
    selector.close()


async def test_a_router_query_engine_routes(selector: RocmSelector) -> None:
    llm = RocmLLM(model=RECITER)  # what writes summaries of several answers: not asked here
    router = RouterQueryEngine.from_defaults(TOOLS, llm=llm, selector=selector)
    for response in (router.query("Who purrs?"), await router.aquery("Who purrs?")):
        assert str(response) == "cat: Who purrs?"
        assert isinstance(response, Response)
        found = (response.metadata or {})["selector_result"].selections[0]
        origin = "decision model" if selector.model == DECIDER else "constrained token"
        assert found.reason == f"probability 0.622 ({origin})"


async def test_several_choices_each_by_itself(new_engine: Engine) -> None:
    several = RocmSelector(model=DECIDER, engine=new_engine, max_selections=2)
    for found in (several.select(["a", "b", "c"], "q"), await several.aselect(["a", "b"], "q")):
        assert found.inds == [0, 1]
    strict = RocmSelector(model=DECIDER, engine=new_engine, max_selections=2, min_probability=0.9)
    assert strict.select(["a", "b"], "q").inds == [0]
    several.close()
    strict.close()


def says(server: FakeServer, answers: Any) -> None:
    server.script(SYSTEM_ONE, answer(json.dumps({"model": "m", "answers": answers}).encode()))


def test_choices_are_told_by_name_and_description(scripted: FakeServer) -> None:
    told = {"type": "choice", "choice": "dog", "confidence": 0.6}
    says(scripted, {"choice": {**told, "probabilities": {"cat": 0.2, "dog": 0.8}}})
    selector = RocmSelector(base_url=scripted.url, instructions="Which animal?")
    found = selector.select([tool.metadata for tool in TOOLS], QueryBundle("Who barks?"))
    assert (found.ind, found.reason) == (1, "probability 0.800 (decision model)")
    assert scripted.requests[-1].body == {
        "state": {"query": "Who barks?"},
        "questions": {
            "choice": {
                "type": "choice",
                "instructions": "Which animal?",
                "criteria": {"cat": "about cats", "dog": "about dogs"},
            }
        },
    }


def test_choices_without_names_of_their_own_are_numbered(scripted: FakeServer) -> None:
    told = {"type": "choice", "choice": "choice 2", "confidence": 0.6}
    says(scripted, {"choice": {**told, "probabilities": {"choice 1": 0.2, "choice 2": 0.8}}})
    selector = RocmSelector(base_url=scripted.url)
    assert selector.select(["about cats", "about cats"], "q").ind == 1
    same = [ToolMetadata(name="x", description="a"), ToolMetadata(name="x", description="b")]
    assert selector.select(same, "q").ind == 1


def test_nothing_to_choose_from(scripted: FakeServer) -> None:
    with pytest.raises(ConfigError, match="at least one choice"):
        RocmSelector(base_url=scripted.url).select([], "q")


async def test_only_a_decision_model_if_that_is_wanted(new_engine: Engine) -> None:
    selector = RocmSelector(model=UNDECIDED, engine=new_engine, calibrated=True)
    with pytest.raises(NotSupported, match="Load a decision model"):
        selector.select(["a", "b"], "q")
    with pytest.raises(NotSupported, match="Load a decision model"):
        await selector.aselect(["a", "b"], "q")
    selector.close()


def test_serialized_without_secrets() -> None:
    own = RocmSelector(
        base_url="http://127.0.0.1:9", api_key=SecretStr("sk-secret"), max_selections=3
    )
    assert RocmSelector.class_name() == "rocm_selector"
    twin = RocmSelector.from_dict(own.to_dict())
    assert twin.max_selections == 3
    assert "sk-secret" not in own.to_json() + repr(own)
    assert own.get_prompts() == {}
    own.update_prompts({})


# -- reranking ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rerank(model_name: str, engine: Engine) -> Iterator[RocmDecisionRerank]:
    rerank = RocmDecisionRerank(model=model_name, engine=engine, top_n=2, levels=["no", "yes"])
    yield rerank
    rerank.close()


async def test_scores_are_shares_of_the_scale(rerank: RocmDecisionRerank) -> None:
    yes = probabilities(2)[1]
    for found in (
        rerank.postprocess_nodes(NODES, query_str="q"),
        await rerank.apostprocess_nodes(NODES, query_str="q"),
    ):
        assert [node.node.get_content() for node in found] == ["cat", "dog"]
        assert [node.score for node in found] == pytest.approx([yes, yes], abs=2e-3)
    assert NODES[0].score == 0.1


async def test_best_first(scripted: FakeServer) -> None:
    def reply(request: Request) -> Any:
        share = {"cat": 0.1, "dog": 0.9, "ship": 0.5}[request.body["state"]["document"]]
        shares = {"0": 1 - share, "1": 0.0, "2": share}
        told = {"type": "score", "score": 2 * share, "confidence": 0.5, "probabilities": shares}
        return answer(json.dumps({"answers": {"answers": told}}).encode())

    scripted.script(SYSTEM_ONE, reply)
    rerank = RocmDecisionRerank(base_url=scripted.url, top_n=2, levels=["no", "so", "yes"])
    for found in (
        rerank.postprocess_nodes(NODES, query_str="q"),
        await rerank.apostprocess_nodes(NODES, query_str="q"),
    ):
        assert [node.node.get_content() for node in found] == ["dog", "ship"]
        assert [node.score for node in found] == pytest.approx([0.9, 0.5])
    assert RocmDecisionRerank.class_name() == "rocm_decision_rerank"
    assert rerank.postprocess_nodes([], query_str="q") == []
    assert await rerank.apostprocess_nodes([], query_str="q") == []
    with pytest.raises(ConfigError, match="needs the query"):
        rerank.postprocess_nodes(NODES)
