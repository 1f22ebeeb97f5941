"""Build request fields for tools, response formats and reasoning, and read the answers. Pure.

Adapters import these names; the modules are private to ``rocm_core``.
"""

from rocm_core.requests.fields import CHAT_FIELDS, GENERATION_FIELDS, INFILL_FIELDS
from rocm_core.requests.long_runs import (
    refuse_long_runs,
    refuse_long_runs_in_messages,
    refuse_unrankable,
)
from rocm_core.requests.reasoning import reasoning_fields, unthinking
from rocm_core.requests.response_format import (
    normalized_format,
    parse_answer,
    schema_format,
    schema_of,
)
from rocm_core.requests.tool_calls import (
    CallReader,
    ToolRequest,
    insisting,
    new_call_id,
    object_text,
    refuse_unanswered,
    tool_name,
    tool_request,
    unanswered,
)

__all__ = [
    "CHAT_FIELDS",
    "GENERATION_FIELDS",
    "INFILL_FIELDS",
    "CallReader",
    "ToolRequest",
    "insisting",
    "new_call_id",
    "normalized_format",
    "object_text",
    "parse_answer",
    "reasoning_fields",
    "refuse_long_runs",
    "refuse_long_runs_in_messages",
    "refuse_unanswered",
    "refuse_unrankable",
    "schema_format",
    "schema_of",
    "tool_name",
    "tool_request",
    "unanswered",
    "unthinking",
]
