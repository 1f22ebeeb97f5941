#!/usr/bin/env bash
# trim_messages(strategy="last") calls the token counter with the messages in reverse order.
#
#   expected   a counter gets pieces of the conversation in the order in which they would be sent
#   seen       [reply, question, …]: a counter that renders a chat template, the exact one, counts a
#              conversation that begins with an answer (or with a tool's result before its call), which
#              many templates refuse
#
# Versions: langchain-core 1.8.3.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet langchain-core==1.8.3
"$work/venv/bin/python" - <<'PY'
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    trim_messages,
)

given: list[list[str]] = []


def count(messages: list[BaseMessage]) -> int:
    given.append([str(message.content) for message in messages])
    return len(messages)


talk = [HumanMessage("1"), AIMessage("2"), HumanMessage("3"), AIMessage("4")]
kept = trim_messages(
    [SystemMessage("system"), *talk],
    strategy="last",
    max_tokens=3,
    token_counter=count,
    include_system=True,
    start_on="human",
)
print("kept:", [message.content for message in kept])
print("the counter was given:", given)
as_before = ["4", "3", "2", "1"] in given and ["1", "2", "3", "4"] not in given
raise SystemExit(0 if as_before else "the behavior has changed")
PY
