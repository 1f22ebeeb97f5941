"""llama.cpp's tokenizers in Python: the ids that a server would answer, without asking it.

building          the vocabulary of a GGUF → ``Tokenizer``, or why not
special           special tokens: which are such in effect, and how a text is cut at them
splits            how each ``tokenizer.ggml.pre`` cuts a text into words, as data
merging_models    byte pairs and SentencePiece's   (``merging``: the merges)
matching_models   WordPiece and unigrams           (``charsmap``: SentencePiece's replacements)
words             the ids of words, remembered
unicode           llama.cpp's own table
probe_texts       texts that tell tokenizers apart
"""

from __future__ import annotations

from rocm_core.tokenizer.building import Tokenizer
from rocm_core.tokenizer.probe_texts import probes
from rocm_core.tokenizer.special import Unsupported

__all__ = ["Tokenizer", "Unsupported", "probes"]
