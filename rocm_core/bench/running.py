"""Run a benchmark: send requests, and take the figures from the server's own clock.

    pp512 @ d4096   sends 4096 tokens, then the same and 512 more: the prefill of the 512
    tg128 @ d4096   sends 4096 tokens, decodes 129: the 128 after the first
    ttft512         sends 512 tokens: the time from request to first token, by this process's clock
    tg128 x 4       sends four short prompts at once: all their tokens, by this process's clock

Every prompt is new, so except for the depth nothing comes from the server's cache. Speeds are
those of llama-server's ``timings`` (milliseconds of prefill and decode of one request).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rocm_core.bench.plan import BenchPlan, Prompts, depths_that_fit, stream_counts
from rocm_core.bench.result import BenchResult, Row
from rocm_core.config import GenerateConfig
from rocm_core.errors import ConfigError, ProtocolError
from rocm_core.gpu import list_gpus
from rocm_core.model.text_model import TextModel
from rocm_core.types import Timings

OnRow = Callable[[str], None]
_SHORT_PROMPT = 16
_MIN_VOCABULARY = 256


def run_bench(
    model: TextModel, plan: BenchPlan | None = None, on_test: OnRow = lambda test: None
) -> BenchResult:
    """Measure a model; loads it first if needed.

    Args:
        model: the model; nothing else should use its server meanwhile.
        plan: what to measure; default: ``BenchPlan()``.
        on_test: called with the name of each test before it runs.

    Raises:
        ConfigError: the plan does not fit the context, or the server has no ``/completion``.
        ProtocolError: the server reports no timings.
        RocmError: the load or a request failed.
    """
    plan = plan or BenchPlan()
    info = model.load()
    if model.connection.completion_dialect != "native":
        raise ConfigError("bench needs llama-server's own /completion; this server has none")
    run = _Run(model, plan, on_test)
    for depth in depths_that_fit(plan, info.n_ctx):
        run.at_depth(depth)
    run.first_token()
    most = plan.streams or info.total_slots or 1
    for count in stream_counts(most):
        run.streams(count)
    return BenchResult(
        model=info.name,
        build=info.build_info,
        context_len=info.n_ctx,
        slots=info.total_slots,
        rows=run.rows,
        gpus=run.gpus,
        notes=run.notes,
    )


class _Run:
    """Runs the measures of one plan, and collects their results."""

    def __init__(self, model: TextModel, plan: BenchPlan, on_test: OnRow) -> None:
        self._model = model
        self._plan = plan
        self._on_test = on_test
        self._prompts = Prompts(_vocabulary(model))
        self.rows: list[Row] = []
        self.notes: list[str] = []
        self.gpus: list[dict[str, Any]] = []

    def at_depth(self, depth: int) -> None:
        """Measure prefill and decode after ``depth`` tokens."""
        place = f" @ d{depth}" if depth else ""
        plan = self._plan
        prefill, decode = f"pp{plan.prompt}{place}", f"tg{plan.generate}{place}"
        self._on_test(prefill)
        speeds = self._repeated(lambda: self._prefill(depth))
        if min(speeds) > 0:
            self.rows.append(Row(prefill, "tok/s", speeds, "pp", depth))
        else:
            self.notes.append(f"{prefill}: the server did not keep the {depth} tokens before")
        self._on_test(decode)
        speeds = self._repeated(lambda: self._decode(depth))
        self.rows.append(Row(decode, "tok/s", speeds, "tg", depth))

    def first_token(self) -> None:
        """Measure the time to the first token: queue, prefill and transport."""
        test = f"ttft{self._plan.prompt}"
        self._on_test(test)
        times = self._repeated(self._first_token)
        self.rows.append(Row(test, "ms", times, "ttft", 0))

    def streams(self, count: int) -> None:
        """Measure ``count`` answers at once."""
        test = f"tg{self._plan.generate} x {count}"
        self._on_test(test)
        with ThreadPoolExecutor(count) as pool:
            speeds = self._repeated(lambda: self._together(pool, count))
        self.rows.append(Row(test, "tok/s", speeds, "streams", count))

    def _repeated(self, measure: Callable[[], float]) -> list[float]:
        measure()
        return [measure() for _ in range(self._plan.repetitions)]

    def _prefill(self, depth: int) -> float:
        before = self._prompts.take(depth)
        if depth:
            self._ask(before, 1, keep=True)
        timings = self._ask([*before, *self._prompts.take(self._plan.prompt)], 1, keep=depth > 0)
        if timings.cache_n < depth - 1:
            return 0.0
        return 1000 * timings.prompt_n / timings.prompt_ms

    def _decode(self, depth: int) -> float:
        timings = self._ask(self._prompts.take(max(1, depth)), self._plan.generate + 1)
        self._look_at_gpus()
        # llama-server's clock begins with the first token.
        return 1000 * (timings.predicted_n - 1) / timings.predicted_ms

    def _first_token(self) -> float:
        prompt = self._prompts.take(self._plan.prompt)
        begun = time.perf_counter()
        events = self._model.completion_events(prompt, _config(1, keep=False))
        next(events)
        first = time.perf_counter()
        events.close()
        return 1000 * (first - begun)

    def _together(self, pool: ThreadPoolExecutor, count: int) -> float:
        prompts = [self._prompts.take(_SHORT_PROMPT) for _ in range(count)]
        begun = time.perf_counter()
        answers = list(pool.map(lambda prompt: self._ask(prompt, self._plan.generate), prompts))
        seconds = time.perf_counter() - begun
        return sum(timings.predicted_n for timings in answers) / seconds

    def _ask(self, prompt: Sequence[int], tokens: int, *, keep: bool = False) -> Timings:
        found = None
        for event in self._model.completion_events(prompt, _config(tokens, keep=keep)):
            found = event.timings or found
        if found is None or not found.prompt_ms or (tokens > 1 and not found.predicted_ms):
            raise ProtocolError("the server tells no timings, so there is nothing to measure")
        return found

    def _look_at_gpus(self) -> None:
        """Keep the highest VRAM and power of each GPU, right after it worked."""
        for number, gpu in enumerate(list_gpus()):
            if number == len(self.gpus):
                self.gpus.append({"name": gpu.name, "vram_used": None, "power_watts": None})
            known = self.gpus[number]
            for fact in ("vram_used", "power_watts"):
                seen = [v for v in (known[fact], getattr(gpu, fact)) if v is not None]
                known[fact] = max(seen, default=None)


def _config(tokens: int, *, keep: bool) -> GenerateConfig:
    return GenerateConfig(max_tokens=tokens, temperature=0.0, ignore_eos=True, cache_prompt=keep)


def _vocabulary(model: TextModel) -> int:
    for entry in model.connection.client.models():
        if size := (entry.get("meta") or {}).get("n_vocab"):
            return int(size)
    return _MIN_VOCABULARY
