"""Tokenize in this process, once it is certain that the server would answer the same.

    the first texts → the server          meanwhile, in a thread: read the vocabulary of the GGUF,
    the later ones  → here                build its tokenizer, compare hard texts with the server

A vocabulary of a kind that is not known, a file that is not here, or one answer that differs: then
the server goes on answering, and one line of the log (DEBUG) says why.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rocm_core.client import Call, Deadline, calls
from rocm_core.errors import ConfigError, InvalidGGUF, ModelNotFound, RocmError
from rocm_core.requests import refuse_long_run
from rocm_core.threads import start_thread

if TYPE_CHECKING:
    from rocm_core.tokenizer import Tokenizer

log = logging.getLogger("rocm_core.model")

# A program that counts tokens once or twice does not need it.
_AFTER = 3
_ROUND_TRIP = "Hello world, hello!"

# One tokenizer for each file, however many models of a program use it.
_Identity = tuple[int, int, int, int]
_shared: weakref.WeakValueDictionary[_Identity, Tokenizer] = weakref.WeakValueDictionary()
_building = threading.Lock()


def _after_fork() -> None:
    # The thread that may have held it is not in the child.
    global _building
    _building = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)


class LocalTokens:
    """The tokenizer of one model, in this process. Thread-safe."""

    def __init__(
        self, name: str, path: Callable[[], Path | None], ask: Callable[[Call[Any]], Any]
    ) -> None:
        """Take what is needed to build it; nothing is read yet.

        Args:
            name: of the model, for messages.
            path: returns the GGUF file that the server has loaded; ``None`` if it is not here.
            ask: sends one call to the server.
        """
        self._name = name
        self._path = path
        self._ask = ask
        self._lock = threading.Lock()
        self._asked = 0
        self._begun = False
        self._tokenizer: Tokenizer | None = None
        self._why_not = ""

    @property
    def ready(self) -> bool:
        """Whether texts are tokenized here by now; no I/O."""
        return self._tokenizer is not None

    def ids(self, text: str, add_special: bool = False) -> list[int] | None:
        """Return the token ids of a text; ``None`` if the server must be asked.

        Raises:
            ConfigError: the text has a run without a break that no engine gets.
        """
        tokenizer = self._tokenizer
        if tokenizer is None or not isinstance(text, str):
            return None
        refuse_long_run(text, "text")
        try:
            return tokenizer(text, add_special=add_special)
        except UnicodeEncodeError:  # the request says what is wrong with it
            return None

    def server_asked(self) -> None:
        """Count an answer of the server; after some of them a thread begins to build."""
        self._asked += 1
        if self._asked < _AFTER or self._begun:
            return
        self._begun = True
        # A thread that cannot be had leaves everything as it is.
        with contextlib.suppress(RocmError):
            thread = threading.Thread(target=self._try, name="rocm-tokenizer", daemon=True)
            start_thread(thread, "building a tokenizer")

    def wait(self, deadline: Deadline) -> None:
        """Build it now, in this thread, or wait until another one has.

        Raises:
            ConfigError: it cannot be built, or does not answer as the server; says why.
            RocmError: the server cannot be started or reached, or a limit passes.
        """
        deadline.acquire(self._lock, "waiting for a tokenizer that another thread builds")
        try:
            if self._tokenizer is None and not self._why_not:
                self._build()
        finally:
            self._lock.release()
        if self._why_not:
            raise ConfigError(
                f"local=True: {self._name} cannot be tokenized in this process: {self._why_not}. "
                "Leave local out, and its server is asked."
            )

    def _try(self) -> None:
        # The server may be stopped meanwhile: nobody waits for this, so nobody is told.
        with contextlib.suppress(RocmError), self._lock:
            if self._tokenizer is None and not self._why_not:
                self._build()

    def _build(self) -> None:
        from rocm_core.tokenizer import Unsupported, probes

        try:
            path = self._path()
            if path is None:
                raise Unsupported("its GGUF file is not on this machine")
            tokenizer = _of_file(path)
            texts = probes(tokenizer.specials)
            ours = [tokenizer(text) for text in texts]
            ours.append(tokenizer(_ROUND_TRIP, add_special=True))
            theirs = self._ask(calls.tokenize_batch(texts))
            theirs.append(self._ask(calls.tokenize(_ROUND_TRIP, add_special=True)))
            for text, mine, its in zip([*texts, _ROUND_TRIP], ours, theirs, strict=True):
                if mine != its:
                    raise Unsupported(f"the server has {its} for {text!r}, not {mine}")
        except (Unsupported, InvalidGGUF, ModelNotFound) as error:
            self._why_not = str(error)
            log.debug("%s: the server tokenizes: %s", self._name, error)
        else:
            self._tokenizer = tokenizer


def _of_file(path: Path) -> Tokenizer:
    from rocm_core.gguf.vocabulary import read_vocabulary
    from rocm_core.tokenizer import Tokenizer

    try:
        facts = path.stat()
    except OSError as error:
        raise ModelNotFound(f"cannot read the model {path}: {error.strerror}") from error
    identity = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)
    with _building:
        tokenizer = _shared.get(identity)
        if tokenizer is None:
            tokenizer = _shared[identity] = Tokenizer(read_vocabulary(path))
    return tokenizer
