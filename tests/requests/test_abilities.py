"""Media in messages: the forms that llama-server reads, and what a model cannot take."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.base.llms.types import ChatMessage, VideoBlock

from langchain_rocm.conversion.messages import request_messages
from langchain_rocm.profile import profile_of
from llama_index_rocm.messages import to_request
from rocm_core.errors import ConfigError
from rocm_core.requests import refuse_unable
from rocm_core.types import ServerProps

MP4 = "https://example.com/a.mp4"


def facts(**modalities: bool) -> ServerProps:
    return ServerProps(0, 0, "", "", "", {}, modalities, "", {})


@pytest.mark.parametrize(
    ("block", "sent"),
    [
        ({"type": "video", "url": MP4}, {"url": MP4}),
        ({"type": "video", "base64": "AAAA", "mime_type": "video/mp4"}, {"data": "AAAA"}),
        ({"type": "video", "source_type": "base64", "data": "AAAA"}, {"data": "AAAA"}),
        ({"type": "video", "source_type": "url", "url": MP4}, {"url": MP4}),
        ({"type": "video_url", "video_url": {"url": MP4}}, {"url": MP4}),
        ({"type": "video_url", "video_url": MP4}, {"url": MP4}),
        ({"type": "input_video", "input_video": {"data": "AAAA"}}, {"data": "AAAA"}),
    ],
)
def test_langchains_videos(block: dict[str, Any], sent: dict[str, str]) -> None:
    [message] = request_messages([HumanMessage([block])])
    assert message["content"] == [{"type": "input_video", "input_video": sent}]


def test_langchains_audio_by_its_address() -> None:
    [message] = request_messages([HumanMessage([{"type": "audio", "url": "https://x/a.mp3"}])])
    part = {"type": "input_audio", "input_audio": {"url": "https://x/a.mp3"}}
    assert message["content"] == [part]


def test_llama_indexs_videos(tmp_path: Any) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(b"\0\0\0\x18ftypmp42")
    for block, sent in (
        (VideoBlock(url=MP4), {"url": MP4}),
        (VideoBlock(path=file), {"url": file.as_uri()}),
        (VideoBlock(video=b"video", video_mimetype="video/mp4"), {"data": "dmlkZW8="}),
    ):
        [message] = to_request([ChatMessage(role="user", blocks=[block])])
        assert message["content"] == [{"type": "input_video", "input_video": sent}]


@pytest.mark.parametrize("kind", ["input_video", "video_url"])
@pytest.mark.parametrize(
    ("props", "said"),
    [
        (facts(vision=False, video=False), "cannot watch videos.*mmproj"),
        (facts(vision=True, video=False), "this build .* reads no videos.*frames"),
    ],
)
def test_a_video_that_cannot_be_seen_is_refused(kind: str, props: ServerProps, said: str) -> None:
    message = {"role": "user", "content": [{"type": kind, kind: {"url": MP4}}]}
    with pytest.raises(ConfigError, match=said):
        refuse_unable([message], {}, props)
    refuse_unable([message], {}, facts(vision=True, video=True))
    refuse_unable([message], {}, facts())  # nothing is known


def test_the_profile_tells_of_videos() -> None:
    assert profile_of(facts(video=True), "m")["video_inputs"] is True
    assert profile_of(facts(vision=True), "m")["video_inputs"] is False
