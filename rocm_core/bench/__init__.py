"""Measure how fast a model runs on this machine, in the terms of ``llama-bench``."""

from rocm_core.bench.plan import BenchPlan, depths_that_fit
from rocm_core.bench.result import BenchResult, Row
from rocm_core.bench.running import run_bench

__all__ = ["BenchPlan", "BenchResult", "Row", "depths_that_fit", "run_bench"]
