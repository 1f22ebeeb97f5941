"""Structured output: whole and partial objects of a class, on real engines and scripted ones."""

from __future__ import annotations

import datetime
import enum
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import pytest
from llama_index.core import Document, PromptTemplate, SummaryIndex
from llama_index.core.agent.utils import generate_structured_response
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.base.response.schema import PydanticResponse
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.program.utils import FlexibleModel
from llama_index.core.prompts import ChatPromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    HttpUrl,
    PrivateAttr,
    create_model,
    field_serializer,
    field_validator,
    model_validator,
)

from llama_index_rocm import RocmLLM
from llama_index_rocm.conversion.user_code import runs_code
from rocm_core.errors import ConfigError, InvalidAnswer
from tests.support.adapters.observing import observed_events
from tests.support.servers.fake_server import FakeServer
from tests.support.servers.scripts import call, chat, say, script, sent, think

ASK = PromptTemplate("A song about {topic}, please.")


class Kind(enum.Enum):
    ROCK = "rock"
    FOLK = "folk"


class Verse(BaseModel):
    words: str
    repeat: bool


class Song(BaseModel):
    """A song."""

    name: str
    kind: Kind
    year: int
    rating: Literal["good", "bad"] | None
    verses: list[Verse] = Field(max_length=2)
    credits: dict[str, str] = Field(max_length=1)


class Small(BaseModel):
    name: str
    tags: list[str]


@pytest.fixture
def server(scripted: FakeServer) -> FakeServer:
    script(scripted, chat(say('{"name": "Hey Joe", "tags": ["a", "b c"]}')))
    return scripted


@pytest.fixture
def scripted_llm(server: FakeServer) -> RocmLLM:
    return RocmLLM(model=server.url, system_prompt="Be brief.")


async def four_ways(llm: RocmLLM, cls: type[Any], **options: Any) -> list[Any]:
    """The object as each of the four methods gives it."""
    stream = list(llm.stream_structured_predict(cls, ASK, options, topic="rain"))
    astream = [
        each async for each in await llm.astream_structured_predict(cls, ASK, options, topic="rain")
    ]
    return [
        llm.structured_predict(cls, ASK, options, topic="rain"),
        await llm.astructured_predict(cls, ASK, options, topic="rain"),
        stream[-1],
        astream[-1],
    ]


# -- on real engines --------------------------------------------------------------------------


async def test_any_model_answers_by_the_schema(llm: RocmLLM) -> None:
    for song in await four_ways(llm, Song):
        assert type(song) is Song
        assert song.kind in Kind and type(song.year) is int


async def test_as_structured_llm(llm: RocmLLM) -> None:
    structured = llm.as_structured_llm(Small)
    messages = [ChatMessage('Braces: {"a": {b}} {topic}')]
    for response in (
        structured.chat(messages),
        await structured.achat(messages),
        list(structured.stream_chat(messages))[-1],
        [r async for r in await structured.astream_chat(messages)][-1],
        structured.complete("Hello"),
        await structured.acomplete("Hello"),
    ):
        assert type(response.raw) is Small
        assert Small.model_validate_json(str(response).removeprefix("assistant: "))


async def test_structured_answers_of_agents(llm: RocmLLM) -> None:
    told = [ChatMessage("Be brief.", role="system"), ChatMessage("A song."), ChatMessage("Done.")]
    assert Small(**await generate_structured_response(told, llm, Small))


def test_a_query_engine_with_an_output_class(llm: RocmLLM) -> None:
    index = SummaryIndex.from_documents([Document(text="Llamas hum.")])
    response = index.as_query_engine(llm=llm, output_cls=Small).query("Which song?")
    assert isinstance(response, PydanticResponse) and type(response.response) is Small


def test_a_prompt_function_of_your_own_keeps_the_schema(llm: RocmLLM) -> None:
    own = llm.model_copy(update={"messages_to_prompt": lambda messages: "raw"})
    assert type(own.structured_predict(Small, ASK, topic="x")) is Small
    own.close()


def test_json_without_a_schema_is_an_object(llm: RocmLLM) -> None:
    for options in (
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_object"}, "formatted": True},
    ):
        assert llm.complete("Hello", max_tokens=80, **options).text.lstrip().startswith("{")


def test_a_grammar_besides_is_refused(llm: RocmLLM) -> None:
    # The server would take one of the two without a word.
    own = llm.model_copy(update={"grammar": 'root ::= "x"'})
    with pytest.raises(ConfigError, match="grammar"):
        own.structured_predict(Small, ASK, topic="x")
    with pytest.raises(ConfigError, match="grammar"):
        own.complete("x", formatted=True, response_format={"type": "json_object"})


async def test_an_answer_that_is_cut_off_is_an_error(llm: RocmLLM) -> None:
    with pytest.raises(InvalidAnswer, match="max_tokens"):
        llm.structured_predict(Small, ASK, {"max_tokens": 5}, topic="x")
    with pytest.raises(InvalidAnswer, match="max_tokens"):
        await llm.astructured_predict(Small, ASK, {"max_tokens": 5}, topic="x")
    with pytest.raises(InvalidAnswer, match="max_tokens"):
        list(llm.stream_structured_predict(Small, ASK, {"max_tokens": 5}, topic="x"))
    with pytest.raises(InvalidAnswer, match="max_tokens"):
        stream = await llm.astream_structured_predict(Small, ASK, {"max_tokens": 5}, topic="x")
        _ = [each async for each in stream]


# -- partial objects --------------------------------------------------------------------------


async def both_streams(llm: RocmLLM) -> AsyncIterator[list[Any]]:
    yield list(llm.stream_structured_predict(Small, ASK, topic="rain"))
    stream = await llm.astream_structured_predict(Small, ASK, topic="rain")
    yield [each async for each in stream]


async def test_partial_objects_grow_and_none_is_blank(scripted_llm: RocmLLM) -> None:
    async for partials in both_streams(scripted_llm):
        seen = [(each.name, each.tags) for each in partials]
        assert seen == [
            ("Hey", None),
            ("Hey Joe", None),
            ("Hey Joe", ["a"]),
            ("Hey Joe", ["a", "b"]),
            ("Hey Joe", ["a", "b c"]),
            ("Hey Joe", ["a", "b c"]),
        ]
        assert [type(each) is Small for each in partials] == [False] * 2 + [True] * 4
        assert all(isinstance(each, (Small, FlexibleModel)) for each in partials)


def breaking(error: type[Exception]) -> Any:
    """A class whose validator is right for whole values, and raises for half-written ones."""

    class Checked(BaseModel):
        name: str
        tags: list[str] = Field(default_factory=list)

        @field_validator("name")
        @classmethod
        def _known(cls, name: str) -> str:
            if name != "Hey Joe":
                raise error(name)
            return name.upper()

    return Checked


@pytest.mark.parametrize("error", [KeyError, IndexError, AttributeError, ZeroDivisionError])
async def test_validators_run_on_the_whole_object_alone(
    scripted_llm: RocmLLM, error: type[Exception]
) -> None:
    cls = breaking(error)
    partials: list[Any] = list(scripted_llm.stream_structured_predict(cls, ASK, topic="rain"))
    stream = await scripted_llm.astream_structured_predict(cls, ASK, topic="rain")
    apartials: list[Any] = [each async for each in stream]
    for some in (partials, apartials):
        assert [each.name for each in some[:3]] == ["Hey", "Hey Joe", "Hey Joe"]
        assert all(isinstance(each, FlexibleModel) for each in some[:-1])
        assert type(some[-1]) is cls and some[-1].name == "HEY JOE"


BREAKING: Any = breaking(KeyError)


class Hooked(BaseModel):
    a: int

    def model_post_init(self, context: Any, /) -> None:
        raise KeyError


class Made(BaseModel):
    a: int

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


class Private(BaseModel):
    when: datetime.date
    where: HttpUrl
    kind: Kind
    _seen: int = PrivateAttr(default=0)

    @field_serializer("kind")
    def _shown(self, kind: Kind) -> str:
        return kind.name


class Before(BaseModel):
    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, values: Any) -> Any:
        return values


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (Song, False),
        (Private, False),
        (create_model("Outer", songs=(list[Private], ...)), False),
        (breaking(KeyError), True),
        (create_model("Around", inner=(dict[str, BREAKING], ...)), True),
        (create_model("Noted", a=(Annotated[int, AfterValidator(abs)], ...)), True),
        (Hooked, True),
        (Made, True),
        (Before, True),
    ],
)
def test_code_of_the_users_is_found_wherever_it_is(cls: type[BaseModel], expected: bool) -> None:
    assert runs_code(cls) is expected


async def test_an_object_is_answered_without_thinking_unless_told(
    scripted_llm: RocmLLM, server: FakeServer
) -> None:
    await four_ways(scripted_llm, Small)
    for body in sent(server):
        assert body["chat_template_kwargs"] == {"enable_thinking": False}
    before = len(sent(server))
    thinking = scripted_llm.model_copy(update={"reasoning": True})
    thinking.structured_predict(Small, ASK, topic="rain")
    scripted_llm.structured_predict(Small, ASK, {"reasoning": True}, topic="rain")
    assert [b["chat_template_kwargs"] for b in sent(server)[before:]] == [
        {"enable_thinking": True}
    ] * 2
    scripted_llm.structured_predict(Small, ASK, {"reasoning_budget": 9}, topic="rain")
    assert "chat_template_kwargs" not in sent(server)[-1]
    scripted_llm.chat([ChatMessage("Hi")])
    assert "chat_template_kwargs" not in sent(server)[-1]


async def test_thoughts_are_no_part_of_the_object(
    scripted_llm: RocmLLM, server: FakeServer
) -> None:
    script(server, chat(think('Perhaps {"name": 1}?'), say('{"name": "x", "tags": []}')))
    for song in await four_ways(scripted_llm, Small):
        assert song == Small(name="x", tags=[])


# -- the request ------------------------------------------------------------------------------


async def test_system_prompt_schema_and_options_in_every_path(
    scripted_llm: RocmLLM, server: FakeServer
) -> None:
    options = {"temperature": 0.25}
    await four_ways(scripted_llm, Small, **options)
    structured = scripted_llm.as_structured_llm(Small)
    structured.chat([ChatMessage("A song.")], **options)
    await structured.achat([ChatMessage("A song.")], **options)
    bodies = sent(server)
    assert len(bodies) == 6
    for body in bodies:
        assert [m["role"] for m in body["messages"]] == ["system", "user"]
        assert body["messages"][0]["content"] == "Be brief."
        assert "song" in body["messages"][1]["content"]
        schema = body["response_format"]["json_schema"]["schema"]
        assert schema["required"] == ["name", "tags"]
        assert body["temperature"] == 0.25
        assert "tools" not in body
    assert options == {"temperature": 0.25}


def test_a_chat_prompt_keeps_its_roles(scripted_llm: RocmLLM, server: FakeServer) -> None:
    prompt = ChatPromptTemplate(
        [ChatMessage("About {topic}.", role="system"), ChatMessage("Go.", role="user")]
    )
    scripted_llm.structured_predict(Small, prompt, topic="rain")
    told = [(m["role"], m["content"]) for m in sent(server)[0]["messages"]]
    assert told == [("system", "Be brief.\n\nAbout rain."), ("user", "Go.")]


async def test_what_a_grammar_cannot_hold_is_checked(scripted_llm: RocmLLM) -> None:
    class Strict(Small):
        @field_validator("name")
        @classmethod
        def loud(cls, name: str) -> str:
            if not name.isupper():
                raise ValueError("the name is not loud")
            return name

    with pytest.raises(InvalidAnswer, match="not loud"):
        scripted_llm.structured_predict(Strict, ASK, topic="x")
    with pytest.raises(InvalidAnswer, match="not loud"):
        await scripted_llm.astructured_predict(Strict, ASK, topic="x")
    with pytest.raises(InvalidAnswer, match="not loud"):
        list(scripted_llm.stream_structured_predict(Strict, ASK, topic="x"))


async def test_prose_is_never_taken_for_an_object(
    scripted_llm: RocmLLM, server: FakeServer
) -> None:
    script(server, chat(say("Sure, here is a song.")))
    with pytest.raises(InvalidAnswer, match="no JSON"):
        scripted_llm.structured_predict(Small, ASK, topic="x")
    with pytest.raises(InvalidAnswer, match="no JSON"):
        list(scripted_llm.stream_structured_predict(Small, ASK, topic="x"))
    assert len(sent(server)) == 2  # asked once each: no second way was tried


# -- events -----------------------------------------------------------------------------------


async def test_events_of_each_way(scripted_llm: RocmLLM) -> None:
    for name in ("structured_predict", "astructured_predict"):
        with observed_events() as seen:
            result = getattr(scripted_llm, name)(Small, ASK, topic="rain")
            result = await result if name.startswith("a") else result
        first, last = seen.events[0], seen.events[-1]
        assert isinstance(first, LLMStructuredPredictStartEvent)
        assert first.template_args == {"topic": "rain"}
        assert isinstance(last, LLMStructuredPredictEndEvent) and last.output == result
        assert seen.counts() == {
            "LLMStructuredPredictStartEvent": 1,
            "LLMChatStartEvent": 1,
            "LLMChatEndEvent": 1,
            "LLMStructuredPredictEndEvent": 1,
        }
    with observed_events() as seen:
        partials = list(scripted_llm.stream_structured_predict(Small, ASK, topic="rain"))
    assert seen.counts()["LLMStructuredPredictInProgressEvent"] == len(partials)
    assert seen.counts()["LLMStructuredPredictEndEvent"] == 1


# -- LlamaIndex's own ways ----------------------------------------------------------------------


async def test_function_program_streams_no_blanks_after_the_first_argument(
    scripted_llm: RocmLLM, server: FakeServer
) -> None:
    script(server, chat(call("Small", name="Hey Joe", tags=["a"])))
    program = FunctionCallingProgram.from_defaults(Small, "A song.", llm=scripted_llm)
    for partials in (
        list(program.stream_call()),
        [each async for each in await program.astream_call()],
    ):
        names = [each.name for each in partials]  # type: ignore[union-attr]
        assert {"He", "Hey J", "Hey Joe"} <= set(names)
        begun = names.index(next(name for name in names if name))
        assert all(names[begun:])
        assert partials[-1] == Small(name="Hey Joe", tags=["a"])


async def test_other_program_modes_are_llama_indexs(
    scripted_llm: RocmLLM, server: FakeServer
) -> None:
    function = scripted_llm.model_copy(
        update={"pydantic_program_mode": PydanticProgramMode.FUNCTION}
    )
    # One tool that has to be called: its arguments are the whole answer.
    for song in (
        function.structured_predict(Small, ASK, topic="x"),
        await function.astructured_predict(Small, ASK, topic="x"),
    ):
        assert song == Small(name="Hey Joe", tags=["a", "b c"])
    assert [t["function"]["name"] for t in sent(server)[0]["tools"]] == ["Small"]
    text = scripted_llm.model_copy(update={"pydantic_program_mode": PydanticProgramMode.LLM})
    assert text.structured_predict(Small, ASK, topic="x").name == "Hey Joe"
    assert "response_format" not in sent(server)[-1]
