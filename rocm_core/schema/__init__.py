"""JSON schemas for engines: what is sent, what is checked afterwards, what is refused. Pure."""

from rocm_core.schema.check import check_answer, retry_message
from rocm_core.schema.compile import CompiledSchema, Unenforced, compile_schema

__all__ = ["CompiledSchema", "Unenforced", "check_answer", "compile_schema", "retry_message"]
