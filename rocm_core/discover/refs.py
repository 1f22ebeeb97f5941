"""Resolve a model reference: a file, a download, a name, ``"demo"``, or a running server.

Reads the file system; starts and downloads nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from rocm_core.config.option import expanded
from rocm_core.config.values import is_address, with_scheme
from rocm_core.demo import demo_model_path
from rocm_core.errors import ConfigError, ModelNotFound
from rocm_core.gguf.facts import PART

# org/repo, optionally with a quantization tag: llama-server's own `-hf` form. No name begins or
# ends with a dot or a hyphen (huggingface_hub, ``validate_repo_id``): that is a path, or a flag.
_NAME = r"[A-Za-z0-9_](?:[\w.-]*[A-Za-z0-9_])?"
_HF = re.compile(rf"{_NAME}/{_NAME}(:\w[\w.-]*)?", re.ASCII)
# Perhaps a server's name and port.
_HOST = re.compile(r"^[\w.-]+:\d{2,5}(/|$)")


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A resolved reference.

    Attributes:
        kind: ``file``, ``hf`` (llama-server downloads it) or ``url`` (a running server).
        value: an absolute path, ``org/repo[:quant]``, or the URL.
        name: short name for people and for the API's ``model`` field.
    """

    kind: Literal["file", "hf", "url"]
    value: str = field(repr=False)  # a URL may hold a password
    name: str


def resolve_ref(ref: str | os.PathLike[str], env: Mapping[str, str] = os.environ) -> ModelRef:
    """Resolve a model reference.

    Tries, in this order: an ``http(s)://`` URL of a running server, or ``localhost:PORT`` or an IP
    address with a port; ``"demo"``; an existing file
    or directory; a name in ``ROCM_MODEL_DIR``; a name that ``discover_models`` lists;
    ``org/repo[:quant]`` for llama-server to download.

    Args:
        ref: the reference.
        env: environment variables that name directories and caches.

    Raises:
        ModelNotFound: nothing has that name, or a directory holds no or several models.
    """
    text = os.fspath(ref)
    if is_address(text):
        url = with_scheme(text)
        return ModelRef("url", url, _without_password(url))
    if text == "demo":
        return ModelRef("file", str(demo_model_path()), "demo")
    path = expanded(text)
    if path.is_dir():
        return _file(_only_model(path))
    if path.exists():
        return _file(path)
    if known := _named(text, env):
        return known
    if _HF.fullmatch(text) and ".." not in text and not text.lower().endswith(".gguf"):
        return ModelRef("hf", text, text.rpartition("/")[2])
    raise ModelNotFound(_not_found(text, path, env))


def _named(name: str, env: Mapping[str, str]) -> ModelRef | None:
    if found := _in_model_dir(name, env):
        return _file(found)
    # Not at the top: most models are named by a path, and need no search.
    from rocm_core.discover.models import find_by_name

    if cached := find_by_name(name.removesuffix(".gguf"), env):
        return ModelRef("file", str(cached.absolute()), name)
    return None


def _without_password(url: str) -> str:
    """Return a URL without user name and password.

    Raises:
        ConfigError: it is no URL.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:  # not shown: it may hold a password
        raise ConfigError(f"the URL of the server is none: {error}") from None
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _file(path: Path) -> ModelRef:
    return ModelRef("file", str(path.absolute()), PART.sub("", path.name).removesuffix(".gguf"))


def models_in(directory: Path) -> list[Path]:
    """Return the GGUF files of a directory that can be loaded, sorted by name.

    Of a split model only the first part; no projectors; nothing from below the directory.
    """
    files = sorted(p for p in directory.glob("*") if p.name.lower().endswith(".gguf"))
    return [p for p in files if not p.name.lower().startswith("mmproj") and _first_shard(p)]


def _first_shard(path: Path) -> bool:
    shard = PART.search(path.name)
    return shard is None or int(shard[1]) == 1


def _only_model(directory: Path) -> Path:
    models = models_in(directory)
    if len(models) == 1:
        return models[0]
    if not models:
        raise ModelNotFound(f"no .gguf file in {directory}")
    names = ", ".join(p.name for p in models[:10])
    raise ModelNotFound(f"{directory} holds several models; name one of them: {names}")


def _in_model_dir(name: str, env: Mapping[str, str]) -> Path | None:
    directory = env.get("ROCM_MODEL_DIR")
    if not directory:
        return None
    base = expanded(directory)
    for candidate in (base / name, base / f"{name}.gguf"):
        if candidate.is_file():
            return candidate
        if candidate.is_dir():
            return _only_model(candidate)
    return None


def _not_found(text: str, path: Path, env: Mapping[str, str]) -> str:
    where = env.get("ROCM_MODEL_DIR")
    server = f" If it is the address of a server, write http://{text}." if _HOST.match(text) else ""
    looked = f"in ROCM_MODEL_DIR ({where})" if where else "(ROCM_MODEL_DIR is not set)"
    return (
        f"no model {text!r}: looked for {path.absolute()}, {looked} and in the caches of "
        "llama.cpp, Hugging Face, LM Studio and Ollama. Give the path of a .gguf file, a "
        "directory, a name from `llama-rocm models`, org/repo[:quant], the URL of a running "
        f"server, or 'demo'.{server}"
    )
