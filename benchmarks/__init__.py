"""What a streamed token costs on its way to the caller: ``python -m benchmarks``."""
