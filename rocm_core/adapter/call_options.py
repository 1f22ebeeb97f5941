"""Which options a call may have, and what one that it may not is told. Pure.

llama-server ignores a field that it does not know without saying so, so a misspelled option would
have no effect. What is known passes; ``extra_body`` is the way for everything else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from rocm_core.config import GenerateConfig, options_of
from rocm_core.errors import ConfigError
from rocm_core.requests import CHAT_FIELDS, GENERATION_FIELDS

# How many answers is a field of the request here: most calls of the frameworks have one.
GENERATE_FIELDS = frozenset(options_of(GenerateConfig)) - {"n"}
# Whose users know which other classes (``rivals``).
FRAMEWORKS = ("LangChain", "LlamaIndex")

EXTRA_BODY = "extra_body"
# How a request asks for several answers (tools/server/server-task.cpp).
_SEVERAL = ("n", "n_cmpl")
# Parameters of tracing that LangChain and LangSmith pass through a model's call.
_OF_TRACING = "ls_"


def answers_wanted(fields: Mapping[str, Any]) -> int:
    """Return how many answers the fields of a request ask for.

    Raises:
        ConfigError: that is no number of at least 1.
    """
    wanted: Any = next((fields[name] for name in _SEVERAL if fields.get(name) is not None), 1)
    if type(wanted) is not int or wanted < 1:
        raise ConfigError(f"n takes a whole number of at least 1, not {wanted!r:.80}")
    return wanted


def one_answer(fields: Mapping[str, Any], several: str) -> dict[str, Any]:
    """Return the fields of a request without those that ask for one answer, the default.

    The pieces of several answers would come mixed in one stream, and be read as one text.

    Args:
        fields: of the request.
        several: what to do for several answers, in words.

    Raises:
        ConfigError: several answers are asked for.
    """
    for name in _SEVERAL:
        if fields.get(name) not in (None, 1):
            raise ConfigError(f"{name}: one answer per call; {several}")
    return {name: value for name, value in fields.items() if name not in _SEVERAL}


@dataclass(frozen=True, slots=True)
class CallOptions:
    """The options that the calls of one class take.

    Attributes:
        owner: the name of the class, for messages.
        framework: whose users know which other classes (see ``hints``).
        chat: the request is a chat, not a raw prompt.
        own: options of these calls that are no fields of a request.
        foreign: what the framework passes to every model, for itself.
        fields: the options of the constructor.
    """

    owner: str
    framework: str
    chat: bool
    own: Collection[str]
    foreign: Collection[str]
    fields: Collection[str]

    def read(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of a call that shape its request; ``None`` counts as not given.

        Raises:
            ConfigError: an option is unknown, or belongs to the constructor.
        """
        known = self._known()
        kept = {}
        for name, value in options.items():
            if name in known:
                kept[name] = value
            elif not (name in self.foreign or name.startswith(_OF_TRACING) or value is None):
                raise self._unknown(name, value)
        return kept

    def _known(self) -> set[str]:
        requests = GENERATION_FIELDS | CHAT_FIELDS if self.chat else GENERATION_FIELDS
        return {*GENERATE_FIELDS, *requests, *self.own, EXTRA_BODY}

    def _unknown(self, name: str, value: Any) -> ConfigError:
        if not self.chat and name in CHAT_FIELDS:
            return ConfigError(f"{name} shapes a chat, and this prompt is sent as it is")
        if name in self.fields:
            return ConfigError(
                f"{name} belongs to the model, not to a call: {self.owner}({name}=…) when it is "
                "made"
            )
        known = self._known()
        from rocm_core.adapter.rivals.hints import hint  # tables that only an error needs

        said = hint(name, value, {*known, *self.fields}, self.framework, known)
        words = (
            f"a call of {self.owner} has no option {name!r}.",
            *([said] if said else []),
            f"A field that llama-rocm does not know is sent with extra_body={{{name!r}: …}}.",
        )
        return ConfigError(" ".join(words))
