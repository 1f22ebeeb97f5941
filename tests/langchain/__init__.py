"""Tests of ``langchain_rocm``."""
