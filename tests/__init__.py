"""Tests. Those that touch an engine run on both: embedded and the llama-server program."""
