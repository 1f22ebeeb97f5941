"""What begins with a slash in a conversation: Ollama's commands, and what ours has besides."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rocm_core.adapter.rivals.options import RIVALS
from rocm_core.cli.chat.conversation import Conversation
from rocm_core.cli.chat.transcript import Saved, read, write
from rocm_core.cli.screen import say
from rocm_core.config import GenerateConfig, nearest, options_of
from rocm_core.config.catalog import groups
from rocm_core.config.option import expanded
from rocm_core.discover.models import discover_models

# A path, /usr/bin, is a message like any other.
_COMMAND = re.compile(r"/([A-Za-z?]+)(?:\s+(.*))?", re.DOTALL)
_QUIET = {"verbose": True, "quiet": False}
_KEYS = '''"""        begins a message of several lines, and ends it; Alt-Enter begins a new line
Tab        completes a command         arrow up  an earlier message, also of earlier sessions
Ctrl-G     the message in $EDITOR      Ctrl-R    searches earlier messages
Ctrl-C     stops an answer             Ctrl-D    ends
A message that begins with a slash: put a blank before it.'''


@dataclass(frozen=True)
class _Command:
    argument: str
    text: str
    run: Callable[[Conversation, str], None]


def obeys(conversation: Conversation, line: str) -> bool | None:
    """Do what a command says.

    Returns:
        ``None`` if ``line`` is a message and no command; else whether the conversation goes on.

    Raises:
        RocmError: the command failed; the conversation is as it was.
    """
    found = _COMMAND.fullmatch(line.rstrip())
    if not found:
        return None
    name, argument = found[1].lower(), (found[2] or "").strip()
    if name in _ENDS:
        return False
    command = _COMMANDS.get(_OTHER_NAMES.get(name, name))
    if command is None:
        near = nearest(name, names())
        hint = f"Did you mean /{near}? " if near else ""
        say(f"there is no command /{name}. {hint}/help lists them all", aside=True)
    else:
        command.run(conversation, argument)
    return True


def names() -> list[str]:
    """Return every name of a command, without the slash."""
    return [*_COMMANDS, *_OTHER_NAMES, *_ENDS]


def _help(conversation: Conversation, argument: str) -> None:
    shown = [(f"/{name} {c.argument}".rstrip(), c.text) for name, c in _COMMANDS.items()]
    shown.append(("/bye", "end (/exit, /quit)"))
    for head, text in shown:
        say(f"{head:<20}{text}")
    say(f"\n{_KEYS}")


def _system(conversation: Conversation, argument: str) -> None:
    if argument:
        conversation.system = argument
        say("the system prompt is set", aside=True)
    else:
        say(conversation.system or "no system prompt")


def _model(conversation: Conversation, argument: str) -> None:
    if argument:
        before = conversation.model.connection.ref.name
        try:
            conversation.use(argument)
        except BaseException:
            say(f"{before} goes on", aside=True)
            raise
        say(f"{conversation.model.connection.ref.name} goes on with the conversation", aside=True)
        return
    info = conversation.model.info
    kind = info.architecture or "architecture unknown"
    say(f"{conversation.model.connection.ref.name} ({kind})")
    trained = f", trained for {info.n_ctx_train}" if info.n_ctx_train else ""
    say(f"context: {info.n_ctx} tokens{trained}")
    takes = [name for name, does in info.modalities.items() if does]
    say(f"takes: {', '.join(['text', *takes])}; llama.cpp {info.build_info}")


def _save(conversation: Conversation, argument: str) -> None:
    if not argument:
        say("/save FILE", aside=True)
        return
    path = _file(argument)
    name = conversation.model.connection.ref.name
    write(path, Saved(name, conversation.system, conversation.messages))
    say(f"saved {len(conversation.messages)} messages in {path}", aside=True)


def _load(conversation: Conversation, argument: str) -> None:
    if not argument:
        say("/load FILE; another model: /model REF", aside=True)
        return
    path = _file(argument)
    if not path.exists():
        say(f"there is no file {path}; another model: /model {argument}", aside=True)
        return
    saved = read(path)
    conversation.system, conversation.messages = saved.system, saved.messages
    say(f"{len(saved.messages)} messages with {saved.model}, from {path}", aside=True)


def _image(conversation: Conversation, argument: str) -> None:
    if not argument:
        say("/image FILE: an image, or WAV or MP3 audio", aside=True)
        return
    conversation.attach(expanded(argument.strip("'\"")))
    say("it goes with your next message", aside=True)


def _file(name: str) -> Path:
    path = expanded(name)
    return path if path.suffix else path.with_suffix(".json")


def _stats(conversation: Conversation, argument: str) -> None:
    turns = conversation.turns
    if not turns:
        say("no answer yet")
        return
    last = turns[-1]
    say(f"last answer    {last.figures[1:-1]}")
    if last.timings:
        speed = f"{last.timings.prompt_per_second:.1f} tok/s"
        cached = f"{last.timings.cache_n} from the cache"
        say(f"its prompt     {last.timings.prompt_n} tokens read at {speed}, {cached}")
    usages = [turn.usage for turn in turns if turn.usage]
    tokens = sum(usage.completion_tokens for usage in usages)
    say(f"conversation   {len(turns)} answers, {tokens} answer tokens")
    if last.usage and (window := conversation.model.info.n_ctx):
        used = last.usage.total_tokens
        say(f"context        {used} of {window} tokens ({100 * used / window:.0f} %)")


def _set(conversation: Conversation, argument: str) -> None:
    words = argument.split(maxsplit=1)
    if words and words[0] == "parameter":
        words = words[1].split(maxsplit=1) if len(words) > 1 else []
    name, value = (words[0] if words else ""), (words[1] if len(words) > 1 else "")
    if name == "system":
        _system(conversation, value)
    elif name in _QUIET:
        conversation.figures = _QUIET[name]
    elif not name:
        _show_options(conversation)
    else:
        _set_option(conversation, name, value)


def _set_option(conversation: Conversation, name: str, value: str) -> None:
    given, name = name, _theirs().get(name, name).replace("-", "_")
    options = options_of(GenerateConfig)
    if name not in options:
        if value and (of_load := groups()["How to load"].get(name)):
            conversation.use(**{name: of_load.read_text(value)})
            say(f"loaded again with {name} = {value}", aside=True)
            return
        near = nearest(name, options)
        say(f"there is no option {given}. " + (f"Did you mean {near}?" if near else ""), aside=True)
    elif not value:
        say(f"{name} = {getattr(conversation.config, name)}; /set {name} VALUE changes it")
    else:
        say(f"{name} = {conversation.set(name, value)}", aside=True)


def _show_options(conversation: Conversation) -> None:
    for name in options_of(GenerateConfig):
        value = getattr(conversation.config, name)
        if value not in (None, (), {}):
            say(f"{name} = {value}")
    say("/set NAME VALUE changes one (docs/reference/options.md); /set quiet hides the figures")


def _theirs() -> dict[str, str]:
    """Return Ollama's names of options, each with ours."""
    ollama = next(rival for rival in RIVALS if rival.name == "ChatOllama")
    return {name: there.text for name, there in ollama.fields.items() if there.kind == "option"}


def _list(conversation: Conversation, argument: str) -> None:
    found = [model for model in discover_models() if not model.problem]
    for model in found:
        say(model.name)
    if not found:
        say("no models; /model org/repo:quant downloads one")


def _clear(conversation: Conversation, argument: str) -> None:
    conversation.forget()
    say("the conversation is forgotten; the system prompt stays", aside=True)


_COMMANDS = {
    "help": _Command("", "this list (/?)", _help),
    "system": _Command("[TEXT]", "set the system prompt, or show it", _system),
    "model": _Command("[REF]", "go on with another model, or show this one (/show)", _model),
    "list": _Command("", "the models on this machine", _list),
    "set": _Command(
        "[NAME [VALUE]]", "an option: /set temperature 0.2, /set context_len 8192", _set
    ),
    "image": _Command("FILE", "send an image or audio with the next message", _image),
    "clear": _Command("", "forget the conversation", _clear),
    "save": _Command("FILE", "keep the conversation", _save),
    "load": _Command("FILE", "take up a conversation that was kept", _load),
    "stats": _Command("", "tokens, speed, and how full the context is", _stats),
}
_OTHER_NAMES = {"?": "help", "show": "model", "models": "list"}
_ENDS = ("bye", "exit", "quit")
