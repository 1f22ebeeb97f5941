#!/usr/bin/env bash
# A model writes a tool call whose arguments are no JSON. LangChain keeps it as an invalid tool call,
# and an agent of create_agent takes the message for the final answer.
#
#   expected   the model is told that its call cannot be read, as of a tool's error; or an error
#   seen       the agent ends after one turn: no tool has run, the answer is an empty text, and nothing
#              says so
#
# Versions: langchain 1.5.2, langchain-core 1.8.3. The model is LangChain's own scripted one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet langchain==1.5.2 langchain-core==1.8.3
"$work/venv/bin/python" - <<'PY'
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage


class Scripted(FakeMessagesListChatModel):
    def bind_tools(self, tools: object, **options: object) -> "Scripted":
        return self


def look_up(word: str) -> str:
    """Look a word up."""
    ran.append(word)
    return "found"


ran: list[str] = []
unreadable = {"name": "look_up", "args": '{"word": }', "id": "1", "error": None}
first = AIMessage("", invalid_tool_calls=[{**unreadable, "type": "invalid_tool_call"}])
agent = create_agent(Scripted(responses=[first, AIMessage("done")]), [look_up])
messages = agent.invoke({"messages": [("user", "What is a kernel?")]})["messages"]
print("the model was asked", sum(message.type == "ai" for message in messages), "time,", end=" ")
print(f"tools ran {len(ran)} times, the last message is {messages[-1].content!r}")
as_before = not ran and len(messages) == 2 and messages[-1].content == ""
raise SystemExit(0 if as_before else "the behavior has changed")
PY
