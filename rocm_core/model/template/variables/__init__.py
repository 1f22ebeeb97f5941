"""The variables of a chat template that a request's options mean.

    variables (``Variables``: messages and fields as the template reads them)
      ├──▶ thinking   reasoning, its effort and budget, thoughts sent back
      │      └──▶ switches   which variable changes the prompt
      └──▶ date       a fixed date

Imported when a request first has such an option: most have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rocm_core.client import Steps
from rocm_core.model.template.roles import Conversation
from rocm_core.model.template.variables.date import FixedDate
from rocm_core.model.template.variables.thinking import Thinking
from rocm_core.types import ServerProps

__all__ = ["FixedDate", "Thinking", "Variables"]


class Variables:
    """What the chat template of one model reads beside the conversation.

    Attributes:
        thinking: about thoughts.
        date: about today's date.
    """

    def __init__(self) -> None:
        self.thinking = Thinking()
        self.date = FixedDate()

    def applied(
        self,
        messages: Conversation,
        fields: Mapping[str, Any],
        date: str | None,
        props: ServerProps,
    ) -> Steps[tuple[Conversation, dict[str, Any]]]:
        """Return messages and request fields as this template reads them.

        Args:
            messages: the conversation.
            fields: of the request.
            date: the option ``template_date``.
            props: the server's facts.

        Raises:
            ConfigError: the template refuses the effort.
        """
        fields = yield from self.date.applied(fields, date, props)
        return (yield from self.thinking.applied(messages, fields, props))
