"""Token ids of texts: from the server, or from a tokenizer in this process that equals it."""

from __future__ import annotations

from rocm_core.model.tokenizing.tokenized_model import TokenizedModel

__all__ = ["TokenizedModel"]
