"""Ask the server what its chat template makes of a probe."""

from __future__ import annotations

from typing import Any

from rocm_core.client import Steps, calls
from rocm_core.errors import HTTPStatusError
from rocm_core.model.template.roles import Conversation

# The status codes by which servers, and proxies in front of them, say: no such endpoint.
ABSENT = (404, 405, 501)


def rendered(messages: Conversation, **fields: Any) -> Steps[str | None]:
    """Return the prompt that the template makes; ``None`` if it refuses, or cannot be asked.

    Args:
        messages: the probe.
        fields: further request fields that the template sees.

    Raises:
        HTTPStatusError: the answer says nothing about the template: the server is busy or loading,
            the key is wrong, a proxy failed.
    """
    try:
        prompt: str = yield calls.apply_template(messages, **fields)
    except HTTPStatusError as error:
        if error.status not in ABSENT and not about_the_template(error):
            raise
        return None
    return prompt


def about_the_template(error: HTTPStatusError) -> bool:
    """Return whether an error of ``POST /apply-template`` is the template's own.

    llama-server says 400, older builds 500; its own errors have a type, those of proxies none.
    """
    return error.status in (400, 422) or (error.status == 500 and bool(error.type))
