"""``ChatRocm.profile``: what the loaded model can do, read from the server at first access.

LangChain fills the field ``profile`` when a model is constructed. Constructing must not start a
server, so the field gets a dictionary that loads the model when somebody reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.model_profile import ModelProfile
from typing_extensions import Self

from langchain_rocm.errors import model_errors
from langchain_rocm.options import LangChainOptions
from rocm_core.types import ServerProps, ThinkingFacts


def profile_of(
    props: ServerProps, name: str, thinking: ThinkingFacts | None = None
) -> ModelProfile:
    """Return the profile of a model.

    Args:
        props: the server's facts.
        name: the model's name.
        thinking: what the chat template knows of thinking; ``None`` if nobody has asked yet: the
            profile says nothing of reasoning then.
    """
    caps, senses = props.chat_template_caps, props.modalities
    tools = bool(caps.get("supports_tools", True))
    sees = bool(senses.get("vision"))
    profile = ModelProfile(
        name=name,
        open_weights=True,
        text_inputs=True,
        image_inputs=sees,
        image_url_inputs=sees,
        image_tool_message=sees,
        audio_inputs=bool(senses.get("audio")),
        video_inputs=bool(senses.get("video")),
        pdf_inputs=False,
        pdf_tool_message=False,
        text_outputs=True,
        image_outputs=False,
        audio_outputs=False,
        video_outputs=False,
        tool_calling=tools,
        tool_choice=tools,
        tool_call_streaming=tools,
        structured_output=True,
        temperature=True,
    )
    if props.n_ctx:
        profile["max_input_tokens"] = profile["max_output_tokens"] = props.n_ctx
    if thinking is not None:
        profile["reasoning_output"] = thinking.thinks
        if thinking.efforts:
            profile["reasoning_effort_levels"] = list(thinking.efforts)
    return profile


class LazyProfile(dict[str, Any]):
    """A profile that fills itself when it is first read; ``bool()`` and ``repr()`` do not read it.

    A pickled or copied profile is empty and cannot fill itself: ``ProfiledModel`` gives each copy
    of a model a new one.
    """

    def __init__(self, load: Callable[[], ModelProfile] | None = None) -> None:
        super().__init__()
        self._load = load

    def __reduce__(self) -> tuple[Any, ...]:
        return (LazyProfile, ())

    def _filled(self) -> dict[str, Any]:
        if self._load is not None:
            super().update(self._load())
            self._load = None
        return self

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return "LazyProfile(not read yet)" if self._load is not None else super().__repr__()

    def __getitem__(self, key: str) -> Any:
        self._filled()
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """As of a dict."""
        self._filled()
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self._filled()
        return super().__contains__(key)

    def __iter__(self) -> Iterator[str]:
        self._filled()
        return super().__iter__()

    def __len__(self) -> int:
        self._filled()
        return super().__len__()

    def keys(self) -> Any:
        """As of a dict."""
        self._filled()
        return super().keys()

    def items(self) -> Any:
        """As of a dict."""
        self._filled()
        return super().items()

    def values(self) -> Any:
        """As of a dict."""
        self._filled()
        return super().values()

    def copy(self) -> dict[str, Any]:
        """Return a plain dict."""
        return dict(self.items())

    def __eq__(self, other: object) -> bool:
        self._filled()
        if isinstance(other, LazyProfile):
            other._filled()
        return super().__eq__(other)

    __hash__ = None


if TYPE_CHECKING:

    class _Base(LangChainOptions, BaseChatModel): ...
else:  # Another pydantic class of all these fields would take 2 ms of an import.
    _Base = object


class ProfiledModel(_Base):
    """To inherit before the options: a profile that shows what the model on its server can do."""

    def _resolve_model_profile(self) -> ModelProfile | None:
        """Return the profile if the server has been used; no I/O."""
        props = self._text_model.props if self._text_model else None
        return profile_of(props, self.loaded_name()) if props else None

    def _set_lazy_profile(self) -> None:
        """Take a profile that asks the server when it is read, unless one was given."""
        if not self.profile:
            self.profile = LazyProfile(self._loaded_profile)  # type: ignore[assignment]

    def _loaded_profile(self) -> ModelProfile:
        with model_errors():
            self.text_model.load()
            thinking = self.text_model.thinking_facts()
        props = self.text_model.props
        return profile_of(props, self.loaded_name(), thinking) if props else ModelProfile()

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self._renew_profile()

    def __copy__(self) -> Self:
        twin = super().__copy__()
        twin._renew_profile()
        return twin

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        twin = super().__deepcopy__(memo)
        twin._renew_profile()
        return twin

    def _renew_profile(self) -> None:
        if isinstance(self.profile, LazyProfile):
            self.profile = LazyProfile(self._loaded_profile)  # type: ignore[assignment]
