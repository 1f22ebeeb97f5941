#!/usr/bin/env bash
# An agent of LlamaIndex that reads calls from the text (ReActAgent) gets arguments that are no JSON.
# It collects what looks like "name": "text" with a regular expression and runs the tool with that.
#
#   expected   the model is told that its input cannot be read
#   seen       {"path": "/data/old", "keep": } runs the tool with the path alone, and its default of
#              keep. Numbers, booleans and lists are lost in this way wherever the text has one error
#
# Versions: llama-index-core 0.14.25. The model is scripted.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet llama-index-core==0.14.25
"$work/venv/bin/python" - <<'PY'
import asyncio
from collections.abc import Generator

from llama_index.core.agent.workflow import ReActAgent
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata

TEXTS = [
    'Thought: I clean up.\nAction: clean\nAction Input: {"path": "/data/old", "keep": }',
    "Thought: I can answer.\nAnswer: done",
]
asked: list[str] = []


class Scripted(CustomLLM):
    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata()

    def complete(
        self, prompt: str, formatted: bool = False, **options: object
    ) -> CompletionResponse:
        asked.append(prompt)
        return CompletionResponse(text=TEXTS[len(asked) - 1])

    def stream_complete(
        self, prompt: str, formatted: bool = False, **options: object
    ) -> Generator[CompletionResponse, None, None]:
        answer = self.complete(prompt)
        answer.delta = answer.text
        yield answer


def clean(path: str, keep: int = 0) -> str:
    """Delete all but the newest `keep` files."""
    ran.append((path, keep))
    return "cleaned"


async def main() -> str:
    return str(await ReActAgent(tools=[clean], llm=Scripted()).run("Clean up, keep 3."))


ran: list[tuple[str, int]] = []
print("the answer:", asyncio.run(main()))
print("the tool ran with", ran)
raise SystemExit(0 if ran == [("/data/old", 0)] else "the behavior has changed")
PY
