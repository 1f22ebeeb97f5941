"""From LlamaIndex to requests. Pure."""
