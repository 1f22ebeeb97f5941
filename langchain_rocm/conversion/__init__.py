"""Convert LangChain's messages and options to a request of ``rocm_core``. Pure."""
