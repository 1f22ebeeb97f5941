"""From the events of ``rocm_core`` to LangChain's chunks and protocol events."""
