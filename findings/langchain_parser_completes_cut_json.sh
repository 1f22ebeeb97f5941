#!/usr/bin/env bash
# PydanticOutputParser and JsonOutputParser complete JSON that ends in the middle, for whole answers too.
#
#   expected   OutputParserException for an answer that a token limit cut off; reading the beginning of
#              JSON is for streams (transform, partial=True)
#   seen       parse() closes strings, drops half a value, and gives a valid object: the path
#              /data/old of "/data/old-drafts", and a default instead of the value that was cut off
#
# Versions: langchain-core 1.8.3. The metadata of the message (finish_reason "length") is not looked at.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet langchain-core==1.8.3
"$work/venv/bin/python" - <<'PY'
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from pydantic import BaseModel


class Removal(BaseModel):
    """What a model is asked for."""

    path: str
    recursive: bool = True


WHOLE = '{"path": "/data/old-drafts", "recursive": false}'
parsers = (PydanticOutputParser(pydantic_object=Removal), JsonOutputParser())
found = []
for length in (19, 45):
    cut = AIMessage(WHOLE[:length], response_metadata={"finish_reason": "length"})
    found.append([parser.invoke(cut) for parser in parsers])
    print(f"{cut.content}\n  ", *found[-1], sep="   ")
as_before = (
    found[0] == [Removal(path="/data/old"), {"path": "/data/old"}]
    and found[1] == [Removal(path="/data/old-drafts"), {"path": "/data/old-drafts"}]
)
raise SystemExit(0 if as_before else "the behavior has changed")
PY
