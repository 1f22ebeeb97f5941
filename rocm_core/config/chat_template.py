"""What the options say of the chat template: a text, a file of one, or a name that llama.cpp knows.

    chat_template, chat_template_file ──▶ ``TemplateChoice``: exactly one of name, text and path

llama.cpp takes whatever stands behind ``--chat-template`` for a template: a path would become every
prompt. So what it is, is decided here, by evidence. Reads the file that is named.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rocm_core.config.load import LoadConfig
from rocm_core.config.option import expanded
from rocm_core.errors import ConfigError

# A name such as chatml or mistral-v7-tekken (LLM_CHAT_TEMPLATES in llama.cpp src/llama-chat.cpp).
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_FILE_NAME = r"[/\\~]|\.(?:jinja2?|j2|txt|tmpl|tpl|template|json|md)$"
# No path is longer (PATH_MAX of Linux).
_LONGEST_PATH = 4096
_WAYS = (
    "Give Jinja text (it has a brace), the path of a file of it, or the name of a template that "
    "llama.cpp has built in, such as chatml (llama-server --help lists them)."
)


@dataclass(slots=True, eq=False)
class TemplateChoice:
    """A chat template in place of the model's.

    Attributes:
        text: Jinja text; of a file, what is in it; empty for a ``name``.
        path: the file of the text, absolute; ``None`` if there is none.
        name: name of a template that llama.cpp has built in; empty for a text.
    """

    text: str = ""
    path: Path | None = None
    name: str = ""


def chosen_template(config: LoadConfig) -> TemplateChoice | None:
    """Return the chat template that the options ask for; ``None`` for the model's own.

    Raises:
        ConfigError: a file is missing, unreadable or no template, or ``chat_template`` is neither
            text nor file nor name.
    """
    if config.chat_template_file is not None:
        return _of_file(Path(config.chat_template_file), "chat_template_file")
    given = config.chat_template
    if given is None:
        return None
    if isinstance(given, Path):
        return _of_file(given, "chat_template")
    if _may_be_path(given) and _exists(expanded(given)):
        return _of_file(Path(given), "chat_template")
    if "{" in given:
        return TemplateChoice(text=given)
    if re.search(_FILE_NAME, given, re.IGNORECASE):
        raise ConfigError(
            f"chat_template is {given!r}, which looks like a path, and there is no such file. "
            f"Correct the path. {_WAYS}"
        )
    if re.fullmatch(_NAME, given):
        return TemplateChoice(name=given)
    raise ConfigError(
        f"chat_template is {given[:60]!r}, which is no template: every prompt would be this text. "
        f"{_WAYS}"
    )


def _may_be_path(text: str) -> bool:
    return 0 < len(text) < _LONGEST_PATH and not set(text) & {"\n", "\0"}


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a part of it is too long for a name
        return False


def _of_file(path: Path, option: str) -> TemplateChoice:
    path = expanded(path).absolute()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"{option}: {path} cannot be read ({why}). Correct the path, or pass the Jinja text "
            "itself as chat_template."
        ) from error
    if "{" not in text:
        raise ConfigError(
            f"{option}: {path} holds no Jinja template: there is no brace in it, so that every "
            "prompt would be the file's text."
        )
    return TemplateChoice(text, path)
