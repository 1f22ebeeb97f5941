"""A network that does harm, between us and a real server: every answer is right or an error.

Damage that the protocol cannot show (another letter in a word) is no part of this: neither
llama-server nor HTTP sends a checksum.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from rocm_core import Server, load_model
from rocm_core.backend.endpoint_probe import forget_dialects
from rocm_core.config import Timeouts
from rocm_core.errors import ClientError, ModelNotFound, RocmError, StreamInterrupted
from rocm_core.model.text_model import TextModel
from tests.support.models.reciter import ANSWER
from tests.support.servers.fake_server import RESET, Fault
from tests.support.servers.proxy import Damage, Proxy, cut, delayed, duplicated, faithful, garbled

HELLO = [{"role": "user", "content": "Hello"}]
# An answer of the demo model takes some 20 kB on the wire.
_WHOLE = 20_000
_LIMITS = Timeouts(connect=10, first_token=30, idle=30, total=60)


def outcome(model: TextModel, chat: bool) -> str | type[RocmError]:
    """The text, or the class of the error."""
    try:
        if chat:
            return "".join(token.text for token in model.chat(HELLO))
        return "".join(token.text for token in model.generate("x"))
    except RocmError as error:
        return type(error)


async def aoutcome(model: TextModel) -> str | type[RocmError]:
    try:
        return "".join([token.text async for token in model.achat(HELLO)])
    except RocmError as error:
        return type(error)


def connect(server: Server, proxy: Proxy) -> TextModel:
    return load_model(proxy.url, api_key=server.api_key, timeouts=_LIMITS, max_queue=64)


def outcomes(server: Server, damage: Damage, seed: int) -> list[str | type[RocmError]]:
    """40 answers of both dialects, blocking and asyncio; facts are asked anew each time."""
    with Proxy(server.url or "", damage, seed=seed) as proxy:

        def ask(number: int) -> str | type[RocmError]:
            forget_dialects()
            with connect(server, proxy) as model:
                if number % 3 == 2:
                    return asyncio.run(aoutcome(model))
                return outcome(model, chat=number % 3 == 0)

        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(ask, range(40)))


@pytest.fixture(scope="module")
def right(remote: Server) -> set[str]:
    """What an unharmed model says: to a chat, and to a raw prompt."""
    with Proxy(remote.url or "", faithful) as proxy, connect(remote, proxy) as model:
        said = {outcome(model, chat=True), outcome(model, chat=False)}
    assert ANSWER in said
    return {text for text in said if isinstance(text, str)}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "damage",
    [cut(_WHOLE), cut(_WHOLE, RESET), duplicated, garbled],
    ids=["cut", "reset", "duplicated", "garbled"],
)
def test_a_harmed_answer_is_right_or_a_typed_error(
    remote: Server, right: set[str], damage: Damage, seed: int
) -> None:
    said = outcomes(remote, damage, seed)
    wrong = [text for text in said if isinstance(text, str) and text not in right]
    assert wrong == []
    errors = [cls for cls in said if isinstance(cls, type)]
    assert errors, "the damage never struck"
    assert all(issubclass(cls, (ClientError, ModelNotFound)) for cls in errors)


def test_a_slow_network_that_tears_everything_apart_changes_nothing(
    remote: Server, right: set[str]
) -> None:
    assert set(outcomes(remote, delayed, 0)) <= right


def test_a_stream_cut_off_after_its_first_words_keeps_them_and_raises(remote: Server) -> None:
    said: list[str] = []
    with (
        Proxy(remote.url or "", faithful) as whole,
        connect(remote, whole) as facts,
        Proxy(remote.url or "", _cut_after(6000)) as proxy,
        connect(remote, proxy) as model,
    ):
        assert facts.load().n_ctx
        with pytest.raises(StreamInterrupted):
            for token in model.chat(HELLO):
                said.append(token.text)
    assert ANSWER.startswith("".join(said))
    assert 0 < len("".join(said)) < len(ANSWER)


def _cut_after(size: int) -> Damage:
    """Cuts streams only: the facts pass."""

    def damage(answer: Iterator[bytes], chance: random.Random) -> Iterator[bytes | float | Fault]:
        left: int | None = None
        for data in answer:
            if left is None:
                left = size if b"event-stream" in data else 10**9
            yield data[:left]
            left -= len(data)
            if left < 0:
                return

    return damage
