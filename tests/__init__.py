"""Tests. Those that touch an engine run on both: embedded and the llama-server program."""

import os

# Two threads of matrix products wait for each other on a busy machine: 3 s became 100 s.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
