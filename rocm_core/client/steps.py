"""One driver for procedures that talk to a server, written once for both colors.

    def procedure() -> Steps[int]:
        props = yield calls.props()      # the answer is sent in, a ``RocmError`` is thrown in
        yield 0.25                       # a pause, in seconds
        return props.n_ctx

    run_steps(procedure(), client.call)          # blocks
    await arun_steps(procedure(), aclient.call)  # does not

The driver is for what happens once per request: nothing per token goes through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

from rocm_core.client.calls import Call
from rocm_core.errors import RocmError

T = TypeVar("T")

Steps = Generator[Call[Any] | float, Any, T]


def run_steps(steps: Generator[Any, Any, T], perform: Callable[[Any], Any]) -> T:
    """Run a procedure to its end and return what it returns.

    A ``RocmError`` of a step is thrown into the procedure, which may handle it. Any other
    exception (an interrupt) closes the generator, so that its ``finally`` blocks run, and goes on.

    Args:
        steps: the procedure.
        perform: performs one step that is no pause, and returns its answer.

    Raises:
        RocmError: what the procedure raises, or does not handle.
    """
    with contextlib.closing(steps):
        try:
            step = next(steps)
            while True:
                try:
                    answer = (time.sleep if isinstance(step, float) else perform)(step)
                except RocmError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result


async def arun_steps(steps: Generator[Any, Any, T], perform: Callable[[Any], Awaitable[Any]]) -> T:
    """``run_steps`` for asyncio; a cancelled task closes the generator as well."""
    with contextlib.closing(steps):
        try:
            step = next(steps)
            while True:
                try:
                    answer = await (asyncio.sleep if isinstance(step, float) else perform)(step)
                except RocmError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
