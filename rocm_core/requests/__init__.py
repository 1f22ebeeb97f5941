"""Build request fields for tools, response formats and reasoning, and read the answers. Pure.

Adapters import these names; the modules are private to ``rocm_core``.
"""

from rocm_core.requests.arguments import object_text, parse_arguments, read_call
from rocm_core.requests.content.abilities import refuse_media, refuse_unable
from rocm_core.requests.content.inputs import (
    EmbeddingInput,
    image_content,
    is_content,
    read_inputs,
)
from rocm_core.requests.fields import CHAT_FIELDS, GENERATION_FIELDS, INFILL_FIELDS
from rocm_core.requests.long_runs import (
    refuse_long_run,
    refuse_long_runs,
    refuse_long_runs_in,
    refuse_long_runs_in_fields,
    refuse_long_runs_in_messages,
)
from rocm_core.requests.reasoning import dated, reasoning_fields, unthinking
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
from rocm_core.requests.tool_schema import (
    VALUE,
    as_arguments,
    closed,
    inlined,
    is_object,
    resolved,
    without_titles,
)
from rocm_core.requests.written_calls import call_notation

__all__ = [
    "CHAT_FIELDS",
    "GENERATION_FIELDS",
    "INFILL_FIELDS",
    "VALUE",
    "CallReader",
    "EmbeddingInput",
    "ToolRequest",
    "as_arguments",
    "body_fault",
    "call_notation",
    "check_texts",
    "closed",
    "dated",
    "image_content",
    "inlined",
    "insisting",
    "insisting_fields",
    "is_content",
    "is_object",
    "named",
    "new_call_id",
    "normalized_format",
    "object_text",
    "parse_answer",
    "parse_arguments",
    "read_call",
    "read_inputs",
    "reasoning_fields",
    "refuse_long_run",
    "refuse_long_runs",
    "refuse_long_runs_in",
    "refuse_long_runs_in_fields",
    "refuse_long_runs_in_messages",
    "refuse_media",
    "refuse_unable",
    "refuse_unanswered",
    "resolved",
    "schema_format",
    "schema_of",
    "text_fault",
    "tool_name",
    "tool_request",
    "unanswered",
    "unthinking",
    "without_titles",
]
