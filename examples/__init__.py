"""Programs to read and to run: ``python -m examples.rag --help``."""
