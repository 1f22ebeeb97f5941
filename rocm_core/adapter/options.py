"""What the fields of an adapter mean, and the model behind them.

In the adapters an option that neither an argument nor the settings give stays unset, so the
server's and the model's own defaults apply (``TextModel`` alone has defaults of its own).
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, PrivateAttr, model_validator
from typing_extensions import Self

from rocm_core.adapter.call_options import EXTRA_BODY, GENERATE_FIELDS, CallOptions
from rocm_core.adapter.event_loop import blocking, may_block
from rocm_core.adapter.fields import GenerationFields, LoadFields
from rocm_core.adapter.server_defaults import ServerDefaults
from rocm_core.adapter.shown import ShownOptions
from rocm_core.config import GenerateConfig, LoadConfig, RemoteConfig, Timeouts, override
from rocm_core.config.catalog import adapter_options
from rocm_core.display.interrupts import short_interrupts
from rocm_core.errors import ConfigError
from rocm_core.settings import LIMITS, current_settings, is_url
from rocm_core.threads import beside_loop

if TYPE_CHECKING:
    from rocm_core.model.text_model import TextModel

_LOAD_FIELDS = frozenset(f.name for f in fields(LoadConfig))
_REMOTE_DEFAULTS = {
    f.name: f.default for f in fields(RemoteConfig) if f.name not in ("api_key", "headers")
}
_PLACES = ("base_url", "model")
# Fields that the settings can set, and the name that LlamaIndex derives from them.
_OF_SETTINGS = frozenset(adapter_options()) | {"model_name"}
# Options that are never pickled.
_SECRETS = ("api_key", "headers", "environment")
# What the frameworks' own serializers add to the fields.
_FOREIGN_KEYS = frozenset({"class_name"})
_building = threading.RLock()
_creating = threading.Lock()
_reading = threading.Lock()


class _BuiltSignature:
    """The signature of a class that is not built yet: builds it, so that it has every option."""

    def __get__(self, instance: Any, owner: type[RocmOptions]) -> Any:
        _build(owner)
        return owner.__dict__["__signature__"].__get__(instance, owner)


def _build(cls: type[RocmOptions]) -> None:
    # Two threads at once would be one too many: pydantic takes away what it builds anew.
    with _building:
        cls.model_rebuild()


class RocmOptions(ShownOptions, LoadFields):
    """Options of every adapter, named as in ``LoadConfig`` and ``GenerateConfig``.

    The server starts at first use and is shared by instances that ask for the same model and
    load options.
    """

    # A validation error would otherwise print every argument, the key among them. Who only imports
    # an adapter needs no validators: they are built for its first instance, or its signature.
    model_config = ConfigDict(hide_input_in_errors=True, defer_build=True)
    __signature__: ClassVar[Any] = _BuiltSignature()

    validate_model_on_init: bool = Field(
        default=False,
        description="Load the model when the instance is made, or check the running server, "
        "instead of at first use.",
    )

    # Whose users know which other classes, for hints.
    _framework: ClassVar[str] = ""

    _text_model: TextModel | None = PrivateAttr(default=None)
    # Options with secrets that this copy lost when it was pickled.
    _lost: tuple[str, ...] = PrivateAttr(default=())
    # Made inside an event loop: what was set then, while the files of settings are not read yet.
    _set_without_files: frozenset[str] | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _no_unknown_options(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        known = set(_FOREIGN_KEYS)
        for name, field in cls.model_fields.items():
            known.update(n for n in (name, field.alias) if n)
        for name in values:
            if name not in known:
                from rocm_core.adapter.rivals.hints import hint  # tables that only an error needs

                said = hint(name, values[name], known - _FOREIGN_KEYS, cls._framework)
                raise ValueError(f"{cls.__name__} has no option {name!r}. {said}".rstrip())
        given = {name: _parsed(name, value) for name, value in values.items()}
        return {**cls._settings_under(given), **given}

    @classmethod
    def _settings_under(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the environment and the configuration files say of options that are not given.

        Taken over when the instance is made, so that its identity, its copies and its traces
        say what really holds; inside an event loop the files at first use.
        """
        settings = current_settings(files=may_block())
        found: dict[str, Any] = {}
        named_by = None
        if not given.get("model") and not given.get("base_url"):
            model, url = settings.target()
            found |= {"model": model or "", "base_url": url}
            named_by = "base_url" if url else "model"
        places = (*map(given.get, _PLACES), *map(found.get, _PLACES))
        url = str(next(filter(None, places), ""))
        remote = is_url(url)
        if remote:
            found |= {n: settings.values[n] for n in settings.remote(url, given, named_by)}
        found |= settings.load(remote, given)
        found |= {name: settings.values[name] for name in LIMITS if name in settings.values}
        found |= settings.generate()
        return {n: value for n, value in found.items() if n in cls.model_fields and n not in given}

    @model_validator(mode="after")
    def _some_model(self) -> Any:
        if not may_block():
            self._set_without_files = frozenset(self.model_fields_set)
        elif not self.model and not self.base_url:
            raise ValueError("give model= (a GGUF file, 'demo', …) or base_url= (a running server)")
        if urlsplit(self.base_url or self.model).password is not None:
            # The frameworks print and trace the address of a model.
            raise ValueError(
                "no password in the URL, please: it would show up in traces; use api_key"
            )
        self.load_config()
        return self

    @model_validator(mode="after")
    def _loaded_if_asked(self) -> Any:
        if self.validate_model_on_init:
            try:
                self._load()
            except BaseException:
                self.close()
                raise
        return self

    def _load(self) -> None:
        self.text_model.load()

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Build the class before its first instance."""
        if not cls.__pydantic_complete__:
            _build(cls)
        return super().__new__(cls)

    def model_post_init(self, context: Any, /) -> None:
        """Pass the hook on: pydantic's own one, made for the private attribute, ends here."""
        super().model_post_init(context)

    def __getstate__(self) -> dict[Any, Any]:
        # A pickled copy opens a share of its own; processes and sockets stay here.
        state = super().__getstate__()
        # Nor do secrets travel: the copy takes the key of where it is from its settings.
        held = state["__dict__"]
        lost = tuple(name for name in _SECRETS if held.get(name) is not None)
        state["__dict__"] = {**held, **dict.fromkeys(_SECRETS)}
        private = {**(state.get("__pydantic_private__") or {}), "_text_model": None}
        state["__pydantic_private__"] = {**private, "_lost": lost or self._lost}
        return state

    def __copy__(self) -> Self:
        twin = super().__copy__()
        twin._text_model = None  # as with pickling: a share of its own
        return twin

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        memo[id(self._text_model)] = None
        return super().__deepcopy__(memo)

    def _read_settings_files(self) -> None:
        """Take over what the files of settings say, unless that is done; reads the disk.

        Raises:
            pydantic.ValidationError: as the constructor outside of an event loop.
        """
        if self._set_without_files is None:
            return
        with _reading:
            given = self._set_without_files
            if given is None:
                return
            required = {n for n, field in type(self).model_fields.items() if field.is_required()}
            values = {n: getattr(self, n) for n in given & (_OF_SETTINGS | required)}
            values = {n: v for n, v in values.items() if v or n not in _PLACES}
            with blocking():
                twin = type(self)(**{**values, "validate_model_on_init": False})
            assigned_since = self.model_fields_set - given - {"model_name"}
            for name in (twin.model_fields_set & _OF_SETTINGS) - values.keys() - assigned_since:
                self.__dict__[name] = twin.__dict__[name]
                self.model_fields_set.add(name)
            self._set_without_files = None

    async def _aread_settings_files(self) -> None:
        if self._set_without_files is not None:
            await beside_loop(self._read_settings_files)

    # -- the model --------------------------------------------------------------------------

    def load_config(self) -> LoadConfig:
        """The load options as one object; raises ``ConfigError`` for impossible ones.

        Adapters for other modes (embedding, reranking) add theirs to ``load_options``.
        """
        return self.load_options()

    def load_options(self) -> LoadConfig:
        """The load options that were given."""
        values = {name: getattr(self, name) for name in _LOAD_FIELDS if hasattr(self, name)}
        values["environment"] = {
            name: value and value.get_secret_value()
            for name, value in (self.environment or {}).items()
        }
        values["model_name"] = self._name_on_server()
        return LoadConfig(**values)

    def _name_on_server(self) -> str | None:
        """The model's name in requests."""
        model = self.model if self.base_url else None
        if model and self.model_name not in (None, model):
            raise ConfigError(
                f"model={model!r} and model_name={self.model_name!r} both name the model at "
                "base_url: give one of them"
            )
        return model or self.model_name

    @property
    def is_remote(self) -> bool:
        """Whether somebody else runs the server."""
        return is_url(self.base_url or self.model)

    def timeouts(self) -> Timeouts:
        """The limits of one request."""
        first = self.first_token_timeout
        if first is None and self.is_remote:
            first = Timeouts().first_token  # nobody tells us when a remote server hangs
        return Timeouts(
            connect=self.connect_timeout,
            first_token=first,
            idle=self.idle_timeout,
            total=self.timeout,
        )

    @property
    def text_model(self) -> TextModel:
        """The model; made at first use, its server started at its first use.

        Making it reads files; ``_amodel`` does not block an event loop.
        """
        if self._text_model is None:
            self._read_settings_files()
            with short_interrupts(), _creating:
                if self._text_model is None:
                    # Not at the top: HTTP, backends and processes take most of the time that an
                    # adapter's import would take, and a program that only imports needs none.
                    from rocm_core.model.text_model import load_model

                    self._text_model = load_model(
                        self.base_url or self.model,
                        self.load_config(),
                        timeouts=self.timeouts(),
                        generate=GenerateConfig(),
                        **self._remote_options(),
                    )
                    self._tell_what_was_lost(self._text_model)
        return self._text_model

    async def _amodel(self) -> TextModel:
        """Return ``text_model``; looking for files, a backend and an engine is done in a thread."""
        if (model := self._text_model) is not None:
            return model
        with short_interrupts():
            return await beside_loop(lambda: self.text_model)

    def _tell_what_was_lost(self, model: TextModel) -> None:
        lost = [name for name in self._lost if getattr(self, name) is None]
        if "environment" in lost and not self.is_remote:
            warnings.warn(
                f"environment= of this {type(self).__name__} stayed behind when it was pickled: "
                "its values may be secret. Set the variables where the copy runs.",
                stacklevel=2,
            )
        secrets = [name for name in lost if name != "environment"]
        if named := " or ".join(secrets):
            variables = " and ".join(f"LLAMA_ROCM_{name.upper()}" for name in secrets)
            model.explain_refusals(
                f"This {type(self).__name__} was pickled, and a pickle carries no {named}: set "
                f"{variables} where it runs, or make it there."
            )

    def _remote_options(self) -> dict[str, Any]:
        """How to reach the server, as far as it differs from the usual."""
        options: dict[str, Any] = {
            name: value
            for name, usual in _REMOTE_DEFAULTS.items()
            if (value := getattr(self, name)) is not None and value != usual
        }
        if self.api_key is not None:
            options["api_key"] = self.api_key.get_secret_value()
        if self.headers:
            options["headers"] = {n: v.get_secret_value() for n, v in self.headers.items()}
        return options

    def close(self) -> None:
        """Let go of the server; one that nobody else holds stops. The next call opens again."""
        model, self._text_model = self._text_model, None
        if model is not None:
            model.close()

    async def aclose(self) -> None:
        """``close`` without blocking the event loop."""
        await beside_loop(self.close)

    def loaded_name(self) -> str:
        """The model's name for metadata; no I/O. The server's own name once it is known."""
        props = self._text_model.props if self._text_model else None
        known = props.model_alias if props else ""
        return known or self.model or self.model_name or str(self.base_url)


def _parsed(name: str, value: Any) -> Any:
    """Return the value of a field as its option's own parser reads it; pydantic checks the type."""
    declared = adapter_options().get(name)
    if name == "environment" and not isinstance(value, Mapping | None):
        return adapter_options()[name].read(value)  # pairs, or JSON text
    if declared is None or declared.secret or (value is None and declared.adapter_default is None):
        return value
    return _without_paths(declared.read(value))


def _without_paths(value: Any) -> Any:
    # The fields hold text, so that every serializer of the frameworks can write them.
    if isinstance(value, tuple):
        return [_without_paths(part) for part in value]
    return str(value) if isinstance(value, Path) else value


class GenerationOptions(ServerDefaults, RocmOptions, GenerationFields):
    """``RocmOptions`` and how to generate; unset options are not sent."""

    extra_body: dict[str, Any] = Field(
        default_factory=dict,
        description="Further fields of llama-server's request, as they are; those of a call win.",
    )

    # Options of a call that are no fields of a request, and what the framework passes for itself.
    _of_calls: ClassVar[frozenset[str]] = frozenset()
    _of_the_framework: ClassVar[frozenset[str]] = frozenset()

    def generate_config(
        self, options: Mapping[str, Any], *, chat: bool = True
    ) -> tuple[GenerateConfig, dict[str, Any]]:
        """The options of this instance with those of one call over them.

        Args:
            options: of one call; those that ``GenerateConfig`` does not name are request fields
                of their own (``tools``, ``chat_template_kwargs``, …) and are returned as such,
                with those of ``extra_body`` under them.
            chat: the request is a chat, not a raw prompt.

        Raises:
            ConfigError: an option is unknown, belongs to the constructor, or does not fit.
        """
        self._read_settings_files()
        own = {name: getattr(self, name) for name in GENERATE_FIELDS if hasattr(self, name)}
        config = GenerateConfig(**own)
        cls = type(self)
        given = CallOptions(
            owner=cls.__name__,
            framework=cls._framework,
            chat=chat,
            own=cls._of_calls,
            foreign=cls._of_the_framework,
            fields=cls.model_fields,
        ).read(options)
        given = {**self.extra_body, **(given.pop(EXTRA_BODY, None) or {}), **given}
        named = {k: v for k, v in given.items() if k in GENERATE_FIELDS}
        rest = {k: v for k, v in given.items() if k not in GENERATE_FIELDS}
        return override(config, named), rest
