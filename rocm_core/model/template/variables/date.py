"""Give a chat template a fixed date, and say where it reads the clock itself."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from rocm_core.client import Steps
from rocm_core.model.template.probe import rendered
from rocm_core.requests import dated
from rocm_core.types import ServerProps

_ASK = [{"role": "user", "content": "probe-1"}]
_TWO_DAYS = ("2001-02-03", "2004-05-06")
# What templates call for today's date; a request cannot replace it.
_CLOCK = "strftime_now"


class FixedDate:
    """The option ``template_date`` for the chat template of one model."""

    def __init__(self) -> None:
        self._checked = False

    def applied(
        self, fields: Mapping[str, Any], date: str | None, props: ServerProps
    ) -> Steps[dict[str, Any]]:
        """Return request fields with the date; warn once if the template reads the clock.

        Args:
            fields: of a chat.
            date: as ISO 8601 writes it; ``None``: ``fields`` as they are.
            props: the server's facts.
        """
        if date is not None and not self._checked:
            unread = _CLOCK in props.chat_template and not (yield from _reads_variables())
            self._checked = True
            if unread:
                warnings.warn(
                    "template_date has no effect: the chat template of this model reads the clock "
                    f"itself ({_CLOCK}), so its date changes at midnight. Give a system message "
                    "if the template prints the date only in its own, or another chat_template.",
                    RuntimeWarning,
                    2,
                )
        return dated(fields, date)


def _reads_variables() -> Steps[bool]:
    prompts = []
    for day in _TWO_DAYS:
        prompts.append((yield from rendered(_ASK, **dated({}, day))))
    return prompts[0] != prompts[1]
