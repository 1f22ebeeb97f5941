"""A conversation with one model at a time: its messages, its options, its figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from rocm_core.cli.chat.turn import Turn, show
from rocm_core.cli.loading import load_progress
from rocm_core.cli.screen import say
from rocm_core.config import GenerateConfig, LoadConfig, options_of
from rocm_core.model.inputs.media import with_files
from rocm_core.model.text_model import TextModel, load_model

_SOUNDS = (".wav", ".mp3")


class Conversation:
    """What was said, to which model, and how it is asked.

    Attributes:
        model: the model that answers.
        config: how it generates.
        system: the system prompt; empty for none.
        messages: questions and answers, without the system prompt.
        turns: what was shown, for figures.
        figures: whether the figures are printed after each answer.
    """

    def __init__(
        self,
        model: TextModel,
        options: dict[str, Any],
        config: GenerateConfig,
        system: str | None,
        *,
        markdown: bool,
    ) -> None:
        """Args:
        model: the first model, loaded or not.
        options: how it was loaded, for the next one.
        config, system: as the attributes.
        markdown: whether answers are drawn.
        """
        self.model = model
        self.config = config
        self.system = system or ""
        self.messages: list[dict[str, Any]] = []
        self._attached: list[dict[str, Any]] = []
        self.turns: list[Turn] = []
        self.figures = True
        self._options = options
        self._markdown = markdown

    def load(self) -> None:
        """Start the model's server, with a progress bar."""
        with load_progress(self.model.connection.ref.name) as bar:
            self.model.load(bar)

    def close(self) -> None:
        """Release the model."""
        self.model.close()

    def ask(self, prompt: str) -> Turn:
        """Answer ``prompt``. A turn that fails, or stops before its first word, leaves no trace."""
        # Also if the turn fails: a model without eyes would refuse every message from now on.
        attached, self._attached = self._attached, []
        content = [{"type": "text", "text": prompt}, *attached] if attached else prompt
        asked = [*self.messages, {"role": "user", "content": content}]
        opening = [{"role": "system", "content": self.system}] if self.system else []
        events = self.model.chat_events([*opening, *asked], self.config)
        turn = show(events, markdown=self._markdown)
        self.turns.append(turn)
        if turn.text or not turn.stopped:
            self.messages = [*asked, {"role": "assistant", "content": turn.text}]
        if self.figures:
            say(turn.figures, aside=True)
        return turn

    def attach(self, path: Path) -> None:
        """Send an image, or WAV or MP3 audio, with the next message.

        Raises:
            ConfigError: it cannot be read, or is neither.
        """
        url = path.resolve().as_uri()
        part = {"type": "image_url", "image_url": {"url": url}}
        if path.suffix.lower() in _SOUNDS:
            part = {"type": "input_audio", "input_audio": {"data": url}}
        message = {"role": "user", "content": [part]}
        # The user named the file, so its own directory is allowed.
        [read] = with_files([message], LoadConfig(media_root=path.resolve().parent))
        self._attached += read["content"]

    def forget(self) -> None:
        """Start anew, with the same system prompt."""
        self.messages, self._attached = [], []

    def use(self, ref: str | None = None, **changes: Any) -> None:
        """Go on with another model. The one before ends first: two may not fit the card.

        Args:
            ref: the other model; ``None``: the same, loaded with ``changes``.
            changes: options of the load, over those of the model before.

        Raises:
            RocmError: it cannot be loaded; the one before is loaded again when it is next asked.
        """
        before, options = self.model, self._options | changes
        following = load_model(ref if ref is not None else before.connection.ref.value, **options)
        before.close()
        self.model = following
        try:
            self.load()
        except BaseException:
            following.close()
            assert before.recipe is not None
            self.model = before.recipe.make()
            raise
        self._options = options

    def set(self, name: str, value: str) -> Any:
        """Set an option of how to generate, as it is written on the command line; return it.

        Raises:
            ConfigError: the value is wrong.
        """
        option = options_of(GenerateConfig)[name]
        read = option.read_text(value)
        self.config = replace(self.config, **{name: read})
        return read
