"""Tests of ``llama_index_rocm``."""
