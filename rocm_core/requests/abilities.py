"""Refuse what a model cannot take, by the facts of its server, before a request is sent. Pure.

llama-server drops tools without a word if the chat template has no place for them, and answers
images that the model cannot see with status 500 (``tools/server/server-common.cpp``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rocm_core.errors import ConfigError
from rocm_core.types import ServerProps

_NEEDS = {"image_url": ("vision", "see images"), "input_audio": ("audio", "hear audio")}


def refuse_unable(
    messages: Sequence[Mapping[str, Any]], fields: Mapping[str, Any], props: ServerProps
) -> None:
    """Raise if the server's model cannot take a chat's tools, images or audio.

    Args:
        messages: the conversation, as ``/v1/chat/completions`` takes it.
        fields: the further request fields.
        props: the server's facts; what they do not say is not refused.

    Raises:
        ConfigError: the chat template has no place for tools, or the model takes no images, or no
            audio.
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
        for part in content if isinstance(content, list) else ():
            ability, words = _NEEDS.get(part.get("type"), ("", ""))
            if ability and props.modalities.get(ability) is False:
                raise ConfigError(
                    f"this model cannot {words}. Load one that can, with its projector "
                    "(mmproj=…, a GGUF file that is published beside the model)."
                )
