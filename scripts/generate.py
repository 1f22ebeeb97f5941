"""Write what is made from declarations in ``rocm_core``; or check that it is up to date.

python -m scripts.generate           write
python -m scripts.generate --check   exit 1 if a file differs

rocm_core/adapter/fields.py     the adapters' fields, so that an IDE knows and shows them
.env.example                    every setting, commented out
docs/reference/options.md       every option, in every way in
docs/migrating.md               what the options of other integrations are called here
docs/troubleshooting.md         every known failure, with its remedy
docs/reference/engines.md       the engines that pip installs, and what `llama-rocm setup` advises
docs/reference/schemas.md       what becomes of each keyword of a JSON schema
docs/reference/templates.md     the names that are tried with a chat template
docs/reference/cards.md         each GPU's target, and the builds that have code for it
docs/reference/cli.md           every command of ``llama-rocm``
docs/reference/api/             every public name
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rocm_core.config import Option
from rocm_core.config.catalog import adapter_options, groups, setting_options
from rocm_core.schema.table import ROWS
from rocm_core.settings.names import ALIASES, variable_of
from scripts.pages.api import PACKAGES, api_page
from scripts.pages.cards import cards
from scripts.pages.cli import cli
from scripts.pages.engines import engines
from scripts.pages.migrating import migrating
from scripts.pages.templates import templates
from scripts.pages.troubleshooting import troubleshooting

ROOT = Path(__file__).parents[1]
_SOURCE = "Generated from rocm_core.config by `python -m scripts.generate`; change it there."
_TITLE_OF_GENERATION = "How to generate"
_WIDTH = 100


def _default(option: Option, *, adapter: bool) -> Any:
    differs = adapter and option.adapter_default is not ...
    return option.adapter_default if differs else option.default


# -- rocm_core/adapter/fields.py -------------------------------------------------------------------

_FIELDS = '''\
"""The adapters' fields.

{source}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, SecretStr

from rocm_core.adapter.declared import declared
from rocm_core.config import (
    Api,
    Engine,
    FlashAttention,
    GpuLayers,
    LazyMode,
    LoadMode,
    RestartPolicy,
    SplitMode,
)


class LoadFields(BaseModel):
    """Which model, where it runs, how to load it, and how long to wait for it."""

    model_config = ConfigDict(defer_build=True)

{load}

class GenerationFields(BaseModel):
    """How to generate one answer; unset options are not sent."""

    model_config = ConfigDict(defer_build=True)

{generate}'''

_TYPES = {
    "api_key": "SecretStr | None",
    "headers": "Mapping[str, SecretStr] | None",
    "environment": "Mapping[str, SecretStr | None] | None",
}


def adapter_fields() -> str:
    """Return the text of ``rocm_core/adapter/fields.py``."""
    generate = groups()[_TITLE_OF_GENERATION]
    parts: dict[str, list[str]] = {"load": [], "generate": []}
    for name, option in adapter_options().items():
        parts["generate" if generate.get(name) is option else "load"].append(_field(option))
    texts = {part: "".join(fields) for part, fields in parts.items()}
    return _FIELDS.format(source=_SOURCE, **texts)


def _field(option: Option) -> str:
    default = _default(option, adapter=True)
    hint = _TYPES.get(option.name) or _pydantic_type(option.annotation, default is None)
    doc = textwrap.wrap(f'"""{option.sentence}"""', _WIDTH - 4, break_on_hyphens=False)
    lines = [f'{option.name}: {hint} = declared("{option.name}")', *doc]
    return "".join(f"    {line}\n" for line in lines)


def _pydantic_type(annotation: str, nullable: bool) -> str:
    hint = annotation.replace("Sequence[", "list[").replace("str | Path", "str")
    hint = hint.replace("str | float", "float")
    return hint + (" | None" if nullable and "None" not in hint and hint != "Any" else "")


# -- .env.example ----------------------------------------------------------------------------------

_ENV_HEAD = f"""\
# Settings of llama-rocm: copy this file to .env in your project, and uncomment what you want.
# An argument in your program, or a flag on the command line, wins over everything here; a
# variable of the environment wins over .env, and .env over llama-rocm.toml. An empty value is
# no value; "none" unsets an option that may be unset. `llama-rocm config` shows what holds, and
# why.
#
# {_SOURCE}
"""


def env_example() -> str:
    """Return the text of ``.env.example``."""
    return _ENV_HEAD + "".join(_env_groups())


def _env_groups() -> Iterator[str]:
    settings = setting_options()
    aliases = {option: variable for variable, option in ALIASES.items()}
    for title, group in groups().items():
        yield f"\n# -- {title.lower()} ".ljust(_WIDTH - 1, "-") + "\n"
        for name, option in group.items():
            if settings.get(name) is not option:
                continue
            words = f"{option.sentence} Default: {_shown(option.default)}."
            lines = textwrap.wrap(words, _WIDTH - 2, break_on_hyphens=False)
            yield "\n" + "".join(f"# {line}\n" for line in lines)
            yield f"#{aliases.get(name) or variable_of(name)}={_example(option)}\n"


def _example(option: Option) -> str:
    if option.example:
        return option.example
    value = option.default
    if value is None or isinstance(value, (tuple, dict)):
        placeholder = option.kind.placeholder
        return placeholder.split("|")[0] if "|" in placeholder else _SAMPLES.get(placeholder, "")
    return str(value).lower() if isinstance(value, bool) else _shown(value)


_SAMPLES = {"N": "1", "X": "0.5", "TIME": "30s", "PATH": "/path/to/file", "TEXT": "text"}


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "unset"
    if isinstance(value, (tuple, dict)):
        return "empty" if not value else ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


# -- docs/reference/options.md ---------------------------------------------------------------------

_REFERENCE_HEAD = f"""\
# Options

<!-- {_SOURCE} -->

The same names everywhere: as keyword arguments of `load_model`, `ChatRocm`, `RocmLLM` and the other
classes, as `LLAMA_ROCM_<OPTION>` in the environment and in `.env`, as keys of `llama-rocm.toml`,
`.yaml` or `.json`, and as flags of the command line. An argument or a flag wins over the
environment, then come `.env`, the project's file, the user's file (`~/.config/llama-rocm`) and the
default. `LLAMA_ROCM_CONFIG` names a file to read instead of the project's.

The column "default" is `load_model`'s. What the adapters and the command line leave unset is not
sent, so llama-server's own default holds: `llama-rocm chat` sends no `max_tokens` and no
`temperature` unless you give one.

How values are written: durations are seconds or text with a unit (`250ms`, `30s`, `10m`, `1h`,
`1d`); counts are integers, in text also with `k` (1024) or `M` (1024²), so `8k` is 8192; switches
are on or off, true or false; in a variable a list is `a,b` or JSON, and
`none` unsets an option whose values include None. On the command line a switch is `--name` or
`--no-name`, and the flag of a list is repeated for each value.

"In code only" marks options that belong to one call or to the kind of adapter: no variable and no
file sets them.
"""


def reference() -> str:
    """Return the text of ``docs/reference/options.md``."""
    return _REFERENCE_HEAD + "".join(_tables())


def _tables() -> Iterator[str]:
    settings, adapters = setting_options(), adapter_options()
    head = "| option | takes | default | flag | llama-server's | meaning |\n" + "|---" * 6 + "|\n"
    for title, group in groups().items():
        yield f"\n## {title}\n\n{head}"
        for name, option in group.items():
            flag = f"`--{option.flag}`" if option.flag else ""
            wire = f"`{option.wire}`" if option.wire else ""
            default = _shown(option.default)
            if name in adapters and option.adapter_default is not ...:
                other = _shown(option.adapter_default)
                default += f" (adapters: {other})" if other != default else ""
            words = option.sentence
            if settings.get(name) is not option:
                words += " In code and as a flag only." if option.flag else " In code only."
            cells = (f"`{name}`", option.allowed, default, flag, wire, words)
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


# -- docs/reference/schemas.md ---------------------------------------------------------------------

_SCHEMAS_HEAD = """\
# JSON schemas

<!-- Generated from rocm_core.schema.table by `python -m scripts.generate`; change it there. -->

What becomes of each keyword of a JSON schema, wherever one is given: structured output,
`response_format`, `json_schema=`, parameters of tools.

- **grammar**: sent as it is, and the engine writes nothing else.
- **rewritten**: sent in another form that the engine keeps.
- **checked**: the engine may break it. Structured output checks each answer against your schema,
  and the error names the place in the answer and the keyword.
- **refused**: `ConfigError` before anything is sent, with the place in your schema.

The columns: a `llama-server` program; the embedded engine in chats; the embedded engine with
`json_schema=` of a completion, where LLGuidance takes the place of llama.cpp's own grammars.
`rocm_core.schema.compile_schema(schema)` returns what is sent for yours, and notes of what is not
enforced. Schemas are of draft 2020-12; lists of `items` and `dependencies` of earlier drafts are
understood. A schema without `type` is taken for the types that its keywords are about.

| keyword | llama-server | embedded, chats | embedded, completions | how |
|---|---|---|---|---|
"""


def schemas() -> str:
    """Return the text of ``docs/reference/schemas.md``."""
    rows = ((row.keyword, row.binary, row.embedded, row.completion, row.how) for row in ROWS)
    return _SCHEMAS_HEAD + "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n" for cells in rows
    )


FILES: dict[str, Callable[[], str]] = {
    "rocm_core/adapter/fields.py": adapter_fields,
    ".env.example": env_example,
    "docs/reference/options.md": reference,
    "docs/migrating.md": migrating,
    "docs/reference/engines.md": engines,
    "docs/reference/schemas.md": schemas,
    "docs/reference/templates.md": templates,
    "docs/reference/cards.md": cards,
    "docs/reference/cli.md": cli,
    **{f"docs/reference/api/{package}.md": api_page(package) for package in PACKAGES},
    "docs/troubleshooting.md": troubleshooting,
}


def main() -> int:
    """Write the files, or tell which differ.

    Returns:
        Exit code: 1 with ``--check`` if a file is not up to date.
    """
    parser = argparse.ArgumentParser(prog="python -m scripts.generate", description=_SOURCE)
    parser.add_argument("--check", action="store_true", help="write nothing, tell what differs")
    options = parser.parse_args()
    stale = [name for name, text in FILES.items() if _read(ROOT / name) != text()]
    for name in stale:
        if not options.check:
            path = ROOT / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(FILES[name](), encoding="utf-8")
        print(f"{name} {'is not up to date' if options.check else 'written'}")
    return 1 if options.check and stale else 0


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    raise SystemExit(main())
