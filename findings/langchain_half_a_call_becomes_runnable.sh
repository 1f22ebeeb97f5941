#!/usr/bin/env bash
# A tool call's arguments arrive in pieces, and the stream ends in the middle of them (token limit,
# connection). LangChain adds the chunks and closes what is open, so that half a call is a call like
# any other.
#
#   expected   arguments that are no JSON are in invalid_tool_calls, as for an answer in one piece
#   seen       {"path": "/data/old is a valid call with the path /data/old, when /data/old-drafts was
#              being written; a text cut before the value of "recursive" is a call without it; what
#              stands behind the object, even a second object, is dropped. The finish reason
#              "length" changes nothing
#
# Versions: langchain-core 1.8.3. The repair is made for showing calls while they stream; the sum of
# all chunks keeps it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet langchain-core==1.8.3
"$work/venv/bin/python" - <<'PY'
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.output_parsers.openai_tools import parse_tool_call

TEXTS = {
    '{"path": "/data/old': {"path": "/data/old"},
    '{"path": "/data/old", "recursive": ': {"path": "/data/old"},
    '{"path": "/a"}{"path": "/b"}': {"path": "/a"},
}
as_before = True
for arguments, repaired in TEXTS.items():
    pieces = [tool_call_chunk(name="delete", args="", id="1", index=0)]
    pieces += [tool_call_chunk(args=letter, index=0) for letter in arguments]
    chunks = [AIMessageChunk("", tool_call_chunks=[piece]) for piece in pieces]
    end = AIMessageChunk("", response_metadata={"finish_reason": "length"}, chunk_position="last")
    whole = sum([*chunks[1:], end], start=chunks[0])
    print(arguments, "→", whole.tool_calls, "invalid:", whole.invalid_tool_calls)
    as_before &= [call["args"] for call in whole.tool_calls] == [repaired]
    try:
        parse_tool_call({"id": "1", "function": {"name": "delete", "arguments": arguments}})
        as_before = False
    except ValueError as error:
        print("  in one piece:", type(error).__name__)
raise SystemExit(0 if as_before else "the behavior has changed")
PY
