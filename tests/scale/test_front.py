"""The front on a real server, without Ray: what passes, what is refused, what is tried again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest

from rocm_core import Server
from rocm_core.scale.forward import CutOff
from rocm_core.scale.front import Front, digest
from tests.support.engines import make_server
from tests.support.models.reciter import ANSWER

pytestmark = pytest.mark.engine

CHAT = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 100}
STREAM = {**CHAT, "stream": True}


class Handle:
    """What the front sees of Ray: offers of replicas, one for each lease."""

    def __init__(self, *offers: Mapping[str, Any] | Exception) -> None:
        self.offers = list(offers)
        self.wishes: list[dict[str, Any]] = []
        self.leased = 0

    def options(self, **_: Any) -> Handle:
        return self

    def remote(self, wish: dict[str, Any]) -> Lease:
        self.wishes.append(json.loads(json.dumps(wish)))
        offer = self.offers.pop(0) if len(self.offers) > 1 else self.offers[0]
        return Lease(self, offer)

    def broadcast(self, name: str) -> Handle:
        assert name == "status"
        return self

    async def results_async(self, **_: Any) -> list[dict[str, Any]]:
        counted = {"slots": 4, "requests": self.leased, "restarts": 0, "metrics": ""}
        offers = [offer for offer in self.offers if isinstance(offer, Mapping)]
        return [{"replica": o["replica"], "ready": o["ready"], **counted} for o in offers]


class Lease:
    def __init__(self, handle: Handle, offer: Mapping[str, Any] | Exception) -> None:
        self.handle, self.offer = handle, offer
        self.over = asyncio.Event()
        self.taken = False

    async def __anext__(self) -> Mapping[str, Any]:
        if isinstance(self.offer, Exception):
            raise self.offer
        if not self.taken:
            self.taken = True
            self.handle.leased += 1
            return self.offer
        await self.over.wait()
        raise StopAsyncIteration

    def cancel(self) -> None:
        self.handle.leased -= self.taken
        self.over.set()


def offer(server: Server, replica: str = "r1") -> dict[str, Any]:
    return {"ready": True, "replica": replica, "url": server.url, "key": server.api_key}


def client(handles: Mapping[str, Handle] | Handle, *keys: str, **more: Any) -> httpx.AsyncClient:
    handles = handles if isinstance(handles, Mapping) else {"reciter": handles}
    front = Front(handles, [digest(key) for key in keys], **more)
    transport = httpx.ASGITransport(front)
    return httpx.AsyncClient(transport=transport, base_url="http://front")


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    """The reciter, on the engine that is installed; replicas have either."""
    server = make_server("auto", port=0, parallel=2)
    server.start()
    yield server
    server.stop()


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def listening(script: Script) -> tuple[asyncio.Server, dict[str, Any]]:
    """A server that does what a healthy one does not."""
    server = await asyncio.start_server(script, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    where = {"url": f"http://127.0.0.1:{port}", "key": "k", "ready": True, "replica": "bad"}
    return server, where


def saying(*pieces: bytes) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.close()

    return script


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


async def direct(server: Server, path: str, body: Any) -> bytes:
    headers = {"Authorization": f"Bearer {server.api_key}"}
    async with httpx.AsyncClient(base_url=server.url or "", headers=headers) as http:
        return (await http.post(path, json=body)).content


def without_ids(body: bytes) -> bytes:
    """A stream without what llama-server makes anew for each request."""
    events = []
    for line in body.split(b"\n\n"):
        if not line.startswith(b"data: {"):
            events.append(line)
            continue
        event = json.loads(line[6:])
        for name in ("id", "created", "timings"):
            event.pop(name, None)
        events.append(json.dumps(event).encode())
    return b"\n\n".join(events)


async def test_a_stream_is_passed_on_byte_for_byte(running: Server) -> None:
    handle = Handle(offer(running))
    async with client(handle) as http:
        reply = await http.post("/v1/chat/completions", json=STREAM)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert without_ids(reply.content) == without_ids(
        await direct(running, "/v1/chat/completions", STREAM)
    )
    assert reply.content.endswith(b"data: [DONE]\n\n")
    assert handle.leased == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tokenize", {"content": "Hello there"}),
        ("/v1/chat/completions/input_tokens", CHAT),
        ("/apply-template", CHAT),
        ("/tokenize", {}),  # refused by llama-server, in its own words
        ("/v1/completions", {"prompt": 7}),
    ],
)
async def test_whole_answers_and_errors_are_those_of_llama_server(
    running: Server, path: str, body: Any
) -> None:
    async with client(Handle(offer(running))) as http:
        reply = await http.post(path, json=body)
    assert reply.content == await direct(running, path, body)


async def test_a_chat_is_answered(running: Server) -> None:
    async with client(Handle(offer(running))) as http:
        reply = await http.post("/v1/chat/completions", json=CHAT)
    assert reply.json()["choices"][0]["message"]["content"] == ANSWER


async def test_facts_of_the_server_are_passed_on(running: Server) -> None:
    async with client(Handle(offer(running))) as http:
        assert (await http.get("/props")).json()["total_slots"] == 2


async def test_what_belongs_to_one_server_is_not_there(running: Server) -> None:
    async with client(Handle(offer(running))) as http:
        for method, path in (("GET", "/slots"), ("POST", "/slots/0"), ("GET", "/lora-adapters")):
            reply = await http.request(method, path)
            assert reply.status_code == 404
            assert "belongs to one server" in reply.json()["error"]["message"]


# -- who may ask, and what ------------------------------------------------------------------------


async def test_a_key_is_asked_of_everything_but_health(running: Server) -> None:
    async with client(Handle(offer(running)), "one", "two") as http:
        for headers in ({}, {"Authorization": "Bearer three"}, {"X-Api-Key": ""}):
            reply = await http.get("/v1/models", headers=headers)
            assert reply.status_code == 401
            assert reply.json()["error"]["type"] == "authentication_error"
        for headers in ({"Authorization": "Bearer two"}, {"X-Api-Key": "one"}):
            assert (await http.get("/v1/models", headers=headers)).status_code == 200
        assert (await http.get("/health")).json() == {"status": "ok"}


async def test_several_models_are_told_apart_by_name(running: Server) -> None:
    handles = {"one": Handle(offer(running)), "two": Handle(offer(running))}
    async with client(handles) as http:
        listed = (await http.get("/v1/models")).json()["data"]
        assert [model["id"] for model in listed] == ["one", "two"]
        await http.post("/tokenize", json={"model": "two", "content": "x"})
        assert (await http.get("/props?model=two")).status_code == 200
        unknown = await http.post("/v1/chat/completions", json={**CHAT, "model": "three"})
    assert (len(handles["one"].wishes), len(handles["two"].wishes)) == (0, 2)
    assert unknown.status_code == 404
    assert "one, two" in unknown.json()["error"]["message"]


async def test_one_model_answers_to_any_name(running: Server) -> None:
    async with client(Handle(offer(running))) as http:
        reply = await http.post("/v1/chat/completions", json={**CHAT, "model": "gpt-4o"})
    assert reply.status_code == 200


async def test_too_long_a_body_is_refused(running: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rocm_core.scale.front._MAX_BODY", 1000)
    async with client(Handle(offer(running))) as http:
        assert (await http.post("/tokenize", content=b"x" * 1001)).status_code == 413


async def test_the_front_says_when_no_replica_is_ready() -> None:
    async with client(Handle({"ready": False, "replica": "r1"})) as http:
        reply = await http.get("/health")
    assert (reply.status_code, reply.json()["error"]["message"]) == (503, "Loading model: reciter")


# -- replicas that fail ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [saying(), saying(HEAD), saying(WHOLE), saying(BUSY)],
    ids=["no answer", "no byte of the body", "half a whole answer", "loading"],
)
async def test_what_produced_nothing_is_tried_elsewhere(running: Server, script: Script) -> None:
    bad, where = await listening(script)
    handle = Handle(where, offer(running))
    async with bad, client(handle) as http:
        reply = await http.post("/v1/chat/completions", json=STREAM)
    assert reply.content.endswith(b"data: [DONE]\n\n")
    assert handle.wishes[1]["avoid"] == ["bad"]
    assert handle.leased == 0


@pytest.mark.parametrize(
    "first",
    [
        {"ready": False, "replica": "bad"},
        {"ready": True, "replica": "bad", "url": "http://127.0.0.1:1", "key": "k"},
        RuntimeError("the actor died"),
    ],
    ids=["restarting", "refuses", "died"],
)
async def test_a_replica_without_a_server_is_passed_over(
    running: Server, first: Mapping[str, Any] | Exception
) -> None:
    async with client(Handle(first, offer(running))) as http:
        reply = await http.post("/v1/chat/completions", json=CHAT)
    assert reply.json()["choices"][0]["message"]["content"] == ANSWER


async def test_an_answer_that_breaks_off_is_not_ended() -> None:
    bad, where = await listening(saying(HEAD, b"e\r\ndata: {half an\r\n"))
    handle = Handle(where)
    sent: list[Any] = []
    async with bad:
        front = Front({"reciter": handle}, [])
        with pytest.raises(CutOff):
            await front(_scope(), _receiving(json.dumps(STREAM).encode()), _into(sent))
    assert [message.get("body") for message in sent] == [None, b"data: {half an"]
    assert all(message.get("more_body", True) for message in sent)
    assert (len(handle.wishes), handle.leased) == (1, 0)


async def test_the_last_try_waits_for_a_server_and_then_gives_up() -> None:
    handle = Handle({"ready": False, "replica": "r1"})
    async with client(handle) as http:
        reply = await http.post("/v1/chat/completions", json=CHAT)
    assert [wish["wait"] for wish in handle.wishes] == [False, False, False, False, True]
    assert reply.status_code == 503
    assert reply.json()["error"]["message"].startswith("Loading model")  # clients try that again
    assert reply.headers["retry-after"] == "1"


async def test_a_full_queue_is_told_at_once() -> None:
    class Full(Exception):
        pass

    async with client(Handle(Full("1000 requests wait.")), refusals=(Full,)) as http:
        reply = await http.post("/v1/chat/completions", json=CHAT)
    assert reply.status_code == 503
    assert reply.json()["error"]["message"] == "1000 requests wait. Try again later."


async def test_a_node_that_is_gone_ends_the_wait_for_its_answer(running: Server) -> None:
    silent = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        silent.set()
        await reader.read()  # no reset tells the front that the machine is gone
        writer.close()

    gone, where = await listening(script)
    handle = Handle(where, offer(running))
    leases = list[Lease]()
    remote = handle.remote
    handle.remote = lambda wish: leases.append(remote(wish)) or leases[-1]  # type: ignore
    async with gone, client(handle) as http:
        answer = asyncio.ensure_future(http.post("/v1/chat/completions", json=CHAT))
        await silent.wait()
        leases[0].over.set()  # Ray says that the actor died
        assert (await answer).json()["choices"][0]["message"]["content"] == ANSWER


async def test_a_client_that_leaves_frees_the_slot(running: Server) -> None:
    handle, sent = Handle(offer(running)), list[Any]()
    begun = asyncio.Event()

    async def send(message: Any) -> None:
        sent.append(message)
        begun.set()

    long = {**STREAM, "max_tokens": 5000, "ignore_eos": True}
    front = Front({"reciter": handle}, [])
    task = asyncio.ensure_future(front(_scope(), _receiving(json.dumps(long).encode()), send))
    await begun.wait()
    assert handle.leased == 1
    task.cancel()  # what Ray Serve does then
    with pytest.raises(asyncio.CancelledError):
        await task
    assert handle.leased == 0
    for _ in range(100):
        if not any(slot["is_processing"] for slot in await running.aclient.slots()):
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("the slot is still taken")


def _scope() -> dict[str, Any]:
    headers = [(b"content-type", b"application/json")]
    path = "/v1/chat/completions"
    return {"type": "http", "method": "POST", "path": path, "headers": headers}


def _receiving(body: bytes) -> Callable[[], Awaitable[dict[str, Any]]]:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    return receive


def _into(sent: list[Any]) -> Callable[[Any], Awaitable[None]]:
    async def send(message: Any) -> None:
        sent.append(message)

    return send
