"""Parts of a conversation with a tool, in OpenAI's form: each text is a word to be found again."""

import json

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Look a word up.",
            "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
        },
    }
]


def text(role: str, content: str) -> dict[str, object]:
    """Return a message of one text."""
    return {"role": role, "content": content}


def call(beside: str = "") -> dict[str, object]:
    """Return an assistant's message that calls the tool, with a text beside the call."""
    function = {"name": "look_up", "arguments": '{"word": "ARGUMENT"}'}
    made = {"type": "function", "id": "abcdefgh1", "function": function}
    return {"role": "assistant", "content": beside, "tool_calls": [made]}


def result() -> dict[str, object]:
    """Return the result of that call."""
    return {"role": "tool", "tool_call_id": "abcdefgh1", "content": "RESULT"}


def ascii_only() -> list[list[object]]:
    """Return a logit bias that keeps the byte model to printable ASCII (and the end)."""
    return [[3 + byte, False] for byte in range(256) if not 32 <= byte < 127]


def exactly(answer: str) -> str:
    """Return a grammar that makes any model write this answer and nothing else."""
    return "root ::= " + json.dumps(answer)
