"""Make tokens of stream events, and stop at token ids, which llama-server cannot. Pure."""

from __future__ import annotations

from rocm_core.client import Steps, calls
from rocm_core.config import GenerateConfig
from rocm_core.errors import ConfigError
from rocm_core.types import StreamEvent, Token


def stopped_by_id(event: StreamEvent) -> StreamEvent:
    """Return the last event of an answer that ends here, at the stop id of ``event``."""
    return StreamEvent(raw=event.raw, finish_reason="stop", model=event.raw.get("model"))


class StopIds:
    """Knows which token ids a stream shows, so that generation can stop there.

    llama-server holds back tokens that are parts of a multi-byte character, and never shows
    their ids. Their own text, which is no whole character, gives them away.
    """

    def __init__(self) -> None:
        self._visible: dict[int, bool] = {}

    def look_up(self, config: GenerateConfig) -> Steps[None]:
        """Ask the server for the text of each id not seen before (``POST /detokenize``).

        Raises:
            ConfigError: streams do not show an id, so nothing could stop there.
        """
        for id_ in config.stop_token_ids:
            if id_ not in self._visible:
                piece = yield calls.detokenize([id_])
                self._visible[id_] = "\ufffd" not in piece
        hidden = [id_ for id_ in config.stop_token_ids if not self._visible[id_]]
        if hidden:
            raise ConfigError(
                f"stop_token_ids {hidden} are parts of multi-byte characters: llama-server's "
                "streams do not show them, so nothing could stop there. Use stop strings."
            )


class TokenReader:
    """Makes the tokens of one stream.

    A piece of text may stand for several tokens: bytes of one character, or text that
    llama-server held back because it looked like the beginning of a stop string. Such a piece has
    no id.
    """

    def __init__(self, config: GenerateConfig) -> None:
        """``config``: of the request.

        Raises:
            ConfigError: it asks for several answers, whose tokens would be mixed.
        """
        given = {**config.extra, "n": config.extra.get("n", config.n)}
        several = [name for name in ("n", "n_cmpl") if given.get(name) not in (None, 1)]
        if several:
            raise ConfigError(
                f"{several[0]}={given[several[0]]!r}: the tokens of several answers would "
                "be mixed. events() says of each piece to which answer it belongs (choice)."
            )
        self._seen = 0
        self._held = 0

    def read(self, event: StreamEvent) -> list[Token]:
        """Return the tokens of one event: none or one."""
        ids = event.token_ids
        predicted = event.raw.get("tokens_predicted")
        new = predicted - self._seen if type(predicted) is int else len(ids)
        self._seen += new
        if not event.text:
            self._held += new
            return []
        single = len(ids) == 1 and new == 1 and not self._held
        self._held = 0
        return [Token(event.text, ids[0] if single else None)]
