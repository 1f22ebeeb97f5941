"""Refuse what a model cannot take, by the facts of its server, before a request is sent. Pure.

llama-server drops tools without a word if the chat template has no place for them, and answers
images that the model cannot see with status 500 (``tools/server/server-common.cpp``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rocm_core.errors import ConfigError
from rocm_core.types import ServerProps

NEEDS = {
    "image_url": ("vision", "see images"),
    "input_audio": ("audio", "hear audio"),
    "input_video": ("video", "watch videos"),
    "video_url": ("video", "watch videos"),
}
"""The types of parts that are no text, with the ability of a model and what it does then."""


def refuse_unable(
    messages: Sequence[Mapping[str, Any]], fields: Mapping[str, Any], props: ServerProps
) -> None:
    """Raise if the server's model cannot take a chat's tools, images, audio or videos.

    Args:
        messages: the conversation, as ``/v1/chat/completions`` takes it.
        fields: the further request fields.
        props: the server's facts; what they do not say is not refused.

    Raises:
        ConfigError: the chat template has no place for tools, or the model does not take what a
            message has.
    """
    if fields.get("tools") and props.chat_template_caps.get("supports_tools") is False:
        raise ConfigError(
            "the chat template of this model has no place for tools: llama-server would drop "
            "them silently. Load the model with another chat_template=…, or use structured output "
            '(LangChain: with_structured_output(…, method="json_schema"); LlamaIndex: '
            "structured_predict, or a ReActAgent), which needs none."
        )
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            refuse_media((part.get("type") for part in content), props)


def refuse_media(kinds: Iterable[Any], props: ServerProps) -> None:
    """Raise ``ConfigError`` for a type of part that the server's model does not take."""
    for kind in kinds:
        ability, words = NEEDS.get(kind, ("", ""))
        if not ability or props.modalities.get(ability) is not False:
            continue
        if ability == "video" and props.modalities.get("vision"):
            raise ConfigError(
                "this build of llama-server reads no videos (llama.cpp is compiled with "
                "MTMD_VIDEO for that); the model sees images: send frames of the video as images."
            )
        raise ConfigError(
            f"this model cannot {words}. Load one that can, with its projector "
            "(mmproj=…, a GGUF file that is published beside the model)."
        )
