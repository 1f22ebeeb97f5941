"""The variables that llama-server passes to every template, and those that go over them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rocm_core import Chat, GenerateConfig, TextModel, load_model
from rocm_core.client import calls
from rocm_core.config import Engine
from rocm_core.errors import ConfigError
from rocm_core.requests import dated, reasoning_fields
from tests.support.models.reciter import CHAT_TEMPLATE, RECITER

ASK = [{"role": "user", "content": "Hi"}]
NAMES = ("enable_thinking", "date_string", "datetime", "preserve_thinking", "reasoning_effort")
PRINTING = "".join(f"{{{{ '{name}=' + {name} | string }}}};" for name in NAMES) + CHAT_TEMPLATE
# Opens thoughts that nothing turns off.
OPENED = CHAT_TEMPLATE.replace("assistant\\n' }}", "assistant\\n<think>\\n' }}").replace(
    "    {%- if message.content %}",
    "    {%- if message.reasoning_content %}"
    "{{- '<think>\\n' + message.reasoning_content + '\\n</think>\\n\\n' }}{%- endif %}\n"
    "    {%- if message.content %}",
)


@pytest.fixture(scope="module")
def printing(engine: Engine) -> Iterator[TextModel]:
    """A model whose template prints its variables."""
    with load_model(RECITER, engine=engine, chat_template=PRINTING) as model:
        model.load()
        yield model


def printed(model: TextModel, **fields: Any) -> dict[str, str]:
    """The variables in the prompt."""
    prompt = model.connection.client.call(calls.apply_template(ASK, **fields))
    return dict(each.partition("=")[::2] for each in prompt.split(";")[: len(NAMES)])


def test_the_server_passes_thinking_and_the_date_whatever_is_set(printing: TextModel) -> None:
    unset = printed(printing)
    assert unset["enable_thinking"] in ("True", "False")
    day, month, year = unset["date_string"].split()
    assert unset["datetime"] == f"{month} {day} {year}"


def test_what_a_request_passes_goes_over_it(printing: TextModel) -> None:
    for thinking in (True, False):
        assert printed(printing, **reasoning_fields(thinking))["enable_thinking"] == str(thinking)
    found = printed(printing, **dated(reasoning_fields("low"), "2001-02-03"))
    assert (found["date_string"], found["datetime"]) == ("03 Feb 2001", "Feb 03 2001")
    assert found["reasoning_effort"] == "low"
    kept = printed(printing, chat_template_kwargs={"preserve_reasoning": True})
    assert kept["preserve_thinking"] == "True"


def test_a_fixed_date_keeps_the_prompt_in_the_cache(printing: TextModel) -> None:
    def cached(day: str) -> int:
        config = GenerateConfig(max_tokens=1, template_date=day)
        [*_, last] = printing.events(Chat(ASK, config))
        assert last.usage
        return last.usage.cached_tokens

    cached("2001-02-03")
    whole = cached("2001-02-03")
    assert cached("2001-02-04") < whole


@pytest.mark.parametrize("budget", [0, 1, 3])
def test_a_budget_of_thoughts_is_exact(engine: Engine, budget: int) -> None:
    with load_model(RECITER, engine=engine, chat_template=OPENED) as model:
        fields = reasoning_fields(None, budget)
        events = list(model.events(Chat(ASK, GenerateConfig(max_tokens=100), fields)))
    thoughts = "".join(event.reasoning for event in events)
    assert thoughts.strip() == "".join(["Hello!", " I", " am"][:budget])
    assert "".join(event.text for event in events)


@pytest.mark.parametrize("day", ["2026-1-3", "2026-02-30", "tomorrow", "", 20260131])
def test_a_date_is_written_as_iso_8601_says(day: Any) -> None:
    with pytest.raises(ConfigError, match="template_date.*YYYY-MM-DD"):
        GenerateConfig(template_date=day)


def test_a_date_may_be_pythons() -> None:
    import datetime

    assert GenerateConfig(template_date=datetime.date(2026, 1, 31)).template_date == "2026-01-31"  # type: ignore[arg-type]
