"""Build request fields for tools, response formats and reasoning, and read the answers. Pure.

Adapters import these names; the modules are private to ``rocm_core``.
"""

from rocm_core.requests.abilities import refuse_unable
from rocm_core.requests.arguments import object_text, parse_arguments
from rocm_core.requests.fields import CHAT_FIELDS, GENERATION_FIELDS, INFILL_FIELDS
from rocm_core.requests.reasoning import reasoning_fields, unthinking
from rocm_core.requests.response_format import (
    normalized_format,
    parse_answer,
    schema_format,
    schema_of,
)
from rocm_core.requests.texts import body_fault, check_texts, named, text_fault
from rocm_core.requests.tool_calls import (
    CallReader,
    ToolRequest,
    insisting,
    insisting_fields,
    new_call_id,
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
    "body_fault",
    "check_texts",
    "insisting",
    "insisting_fields",
    "named",
    "new_call_id",
    "normalized_format",
    "object_text",
    "parse_answer",
    "parse_arguments",
    "reasoning_fields",
    "refuse_unable",
    "refuse_unanswered",
    "schema_format",
    "schema_of",
    "text_fault",
    "tool_name",
    "tool_request",
    "unanswered",
    "unthinking",
]
