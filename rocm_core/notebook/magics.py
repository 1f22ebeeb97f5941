"""The magics; imported by ``%load_ext rocm_core.notebook`` alone, so IPython is there."""

from __future__ import annotations

import shlex
import sys
import time
from typing import Any, ClassVar

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class

from rocm_core.config import GenerateConfig, LoadConfig, RemoteConfig, options_of
from rocm_core.display.shell import is_kernel, is_watched
from rocm_core.errors import ConfigError
from rocm_core.model.text_model import TextModel, load_model
from rocm_core.notebook.servers import Servers, list_kernel_servers
from rocm_core.notebook.top import LivePlot, Top
from rocm_core.terminal import visible
from rocm_core.types import Timings, Usage

# JupyterLab's "bright black" is nearly black, and it has no faint text: a shade of the 256.
_GRAY, _PLAIN = "\x1b[38;5;244m", "\x1b[0m"
# Seconds that a plot is drawn, and between two looks.
_SECONDS, _INTERVAL = 600.0, 1.0
_PAUSE = 0.5
_STOP = "stop"


@magics_class
class RocmMagics(Magics):
    """``%rocm_ps``, ``%rocm_top``, ``%%rocm``."""

    names: ClassVar = {"line": ("rocm_ps", "rocm_top"), "cell": ("rocm",)}

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._models: dict[tuple[Any, ...], TextModel] = {}
        self._plot: LivePlot | None = None

    def close(self) -> None:
        """Close the models of ``%%rocm``, and end the live plot."""
        models, self._models = self._models, {}
        for model in models.values():
            model.close()
        self._end_plot()

    @line_magic
    def rocm_ps(self, line: str) -> Servers:
        """Return the servers of this kernel, and those that keep_alive holds."""
        if line.strip():
            raise ConfigError(f"%rocm_ps takes no argument, not {line.strip()!r}")
        return list_kernel_servers()

    @line_magic
    def rocm_top(self, line: str) -> None:
        """Draw GPUs and servers live, while other cells run.

        %rocm_top            for ten minutes
        %rocm_top 60         for 60 seconds
        %rocm_top 60 0.5     a look every half second
        %rocm_top stop       no more; what was drawn stays
        """
        self._end_plot()
        words = line.split()
        if words == [_STOP]:
            return
        try:
            seconds, interval, *_ = (*map(float, words), *(_SECONDS, _INTERVAL)[len(words) :])
            good = seconds > 0 and interval > 0 and len(words) <= 2
        except ValueError:
            good = False
        if not good:
            raise ConfigError(
                f"%rocm_top [SECONDS [SECONDS BETWEEN TWO LOOKS]], or stop; not {line!r}"
            )
        if not is_kernel(self.shell):
            top = Top()
            top.look()  # a speed needs two looks
            time.sleep(_PAUSE)
            for panel in top.look():
                _write(f"{visible(panel.text())}\n")
            return
        self._plot = LivePlot(self.shell, seconds, max(0.1, interval))

    def _end_plot(self) -> None:
        plot, self._plot = self._plot, None
        if plot is not None:
            plot.stop()

    @cell_magic
    def rocm(self, line: str, cell: str) -> None:
        """Answer the cell's text, streamed. The model stays loaded for the next such cell.

        %%rocm MODEL [name=value ...]

        MODEL is what load_model takes: a GGUF file, org/repo:quant, demo, a URL. Options are those
        of load_model and GenerateConfig, and system="...".
        """
        model, config, system = self._asked(line)
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": cell.strip()})
        _stream(model, messages, config, is_watched(self.shell))

    def _asked(self, line: str) -> tuple[TextModel, GenerateConfig, str]:
        """Return the model of a line, the options of generation, and the system prompt."""
        words = shlex.split(line)
        names = [word for word in words if "=" not in word]
        given = dict(word.split("=", 1) for word in words if "=" in word)
        system = given.pop("system", "")
        if len(names) > 1:
            raise ConfigError(f"%%rocm MODEL name=value ...: one model, not {', '.join(names)}")
        generate = {n: o.read_text(given.pop(n)) for n, o in _OF_ANSWERS.items() if n in given}
        load = {n: o.read_text(given.pop(n)) for n, o in _OF_LOADS.items() if n in given}
        if given:
            raise ConfigError(
                f"%%rocm has no option {', '.join(map(repr, given))}; there are those of "
                "load_model and GenerateConfig (docs/reference/options.md), and system"
            )
        key = (*names, repr(sorted(load.items())))
        model = self._models.get(key)
        if model is None:
            model = self._models[key] = load_model(names[0] if names else None, **load)
        unset: dict[str, Any] = {"max_tokens": None, "temperature": None}
        return model, GenerateConfig(**{**unset, **generate}), system


_OF_ANSWERS = options_of(GenerateConfig)
_OF_LOADS = {
    name: found
    for cls in (RemoteConfig, LoadConfig)
    for name, found in options_of(cls).items()
    if not found.secret  # a key does not belong into a notebook; settings have it
}


def _stream(
    model: TextModel, messages: list[dict[str, str]], config: GenerateConfig, watched: bool
) -> None:
    """Print an answer as it comes, thoughts in gray; an interrupt ends it without a traceback.

    Its speed is for who watches: a notebook that runs by itself shows the same each time.
    """
    usage: Usage | None = None
    timings: Timings | None = None
    thinking, ending = False, ""
    try:
        for event in model.chat_events(messages, config):
            if event.reasoning:
                _write(("" if thinking else _GRAY) + visible(event.reasoning))
                thinking = True
            if event.text:
                _write((f"{_PLAIN}\n" if thinking else "") + visible(event.text))
                thinking = False
            usage, timings = event.usage or usage, event.timings or timings
    except KeyboardInterrupt:
        ending = " (stopped)"
    speed = f", {timings.predicted_per_second:.0f} tokens/s" if timings else ""
    counts = f"{usage.completion_tokens} tokens{speed}" if usage else ""
    counts = (counts if watched else "") + ending
    _write((_PLAIN if thinking else "") + (f"\n{_GRAY}{counts}{_PLAIN}\n" if counts else "\n"))


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
