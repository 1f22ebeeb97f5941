"""A served model that turns texts into token ids, and token ids into texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rocm_core.backend import Connection
from rocm_core.client import Deadline, calls
from rocm_core.config import Timeouts
from rocm_core.gguf import part_paths
from rocm_core.model.served_model import ServedModel
from rocm_core.model.tokenizing.local_tokens import LocalTokens


class TokenizedModel(ServedModel):
    """The tokens of a model; see ``TextModel``."""

    def __init__(self, connection: Connection, timeouts: Timeouts | None = None) -> None:
        super().__init__(connection, timeouts)
        self._local_tokens = LocalTokens(self._name, self._vocabulary_file, self._ask_silently)

    def _vocabulary_file(self) -> Path | None:
        header = self._gguf()
        return part_paths(header.path)[0] if header is not None else None

    @property
    def tokenizes_here(self) -> bool:
        """Whether ``tokenize`` answers in this process by now, without the server; no I/O."""
        return self._local_tokens.ready

    def tokenize(
        self,
        text: str,
        *,
        add_special: bool = False,
        local: bool | None = None,
        deadline: Deadline | None = None,
    ) -> list[int]:
        """Return the token ids of ``text``, as the server has them (``POST /tokenize``).

        Special tokens inside the text count as such (``<|im_end|>`` is one token). After the first
        few texts, a model whose GGUF file is on this machine is tokenized in this process, if its
        vocabulary is of a known kind and equals the server on some 60 texts; else the server goes
        on answering. Either way the ids are the server's.

        Args:
            text: any text; an empty one has no tokens.
            add_special: put the model's begin-of-text token (BOS) in front, if it has one.
            local: ``False`` asks the server; ``True`` builds the tokenizer first, once, which
                takes up to a second; ``None``: whichever can answer at once.
            deadline: of the call that this is a part of; ``None``: the model's limits.

        Raises:
            ConfigError: ``local=True``, and the model cannot be tokenized in this process.
            RocmError: the server cannot be started or reached, or a limit passes.
        """
        with self._last_error:
            if local and not self.tokenizes_here:
                self._local_tokens.wait(deadline or self.deadline())
            if local is not False and (ids := self._tokens_here(text, add_special)) is not None:
                return ids
        ids = self._ask(calls.tokenize(text, add_special=add_special), deadline)
        if local is None:
            self._local_tokens.server_asked()
        return ids

    def tokenize_batch(
        self,
        texts: Sequence[str],
        *,
        local: bool | None = None,
        deadline: Deadline | None = None,
    ) -> list[list[int]]:
        """Return the token ids of each text, in their order, with one request at most.

        No special tokens are added; ``local``, ``deadline`` and errors as ``tokenize``.
        """
        with self._last_error:
            if local and not self.tokenizes_here:
                self._local_tokens.wait(deadline or self.deadline())
            if local is not False and self.tokenizes_here and not isinstance(texts, str):
                found = [self._tokens_here(text, False) for text in texts]
                if None not in found:
                    return found  # type: ignore[return-value]
        lists = self._ask(calls.tokenize_batch(texts), deadline)
        if local is None:
            self._local_tokens.server_asked()
        return lists

    def _tokens_here(self, text: str, add_special: bool) -> list[int] | None:
        _ = self.connection  # closed models do not answer
        return self._local_tokens.ids(text, add_special)

    def detokenize(self, ids: Sequence[int], *, deadline: Deadline | None = None) -> str:
        """Return the text of token ids (``POST /detokenize``).

        An id that is part of a multi-byte character only becomes U+FFFD; ``deadline`` and errors
        as ``tokenize``.
        """
        return self._ask(calls.detokenize(ids), deadline)
