"""Files that messages name: opened below one directory alone, if they are what they seem."""

from __future__ import annotations

import base64
import io
import os
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.llms import AudioBlock, ChatMessage, ImageBlock

from llama_index_rocm import RocmLLM
from rocm_core import LoadConfig, load_model
from rocm_core.errors import ConfigError
from rocm_core.model.inputs.media import with_files
from tests.support.models.vision import ONE_PIXEL
from tests.support.servers.scripts import authored, sent

Make = Callable[[Path], str]


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def audio(url: str) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": url}}


def resolved(part: Any, root: Path | None, role: str = "user", **options: Any) -> Any:
    config = LoadConfig(media_root=root, **options)
    [message] = with_files([{"role": role, "content": [part]}], config)
    return message["content"][0]


def wav() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(32))
    return buffer.getvalue()


IMAGES = {
    "png": ONE_PIXEL,
    "jpeg": b"\xff\xd8\xff\xe0" + bytes(20),
    "gif": b"GIF89a" + bytes(20),
    "webp": b"RIFF\x20\0\0\0WEBPVP8 " + bytes(20),
    "bmp": b"BM\x40\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0" + bytes(40),
}
SOUNDS = {
    "wav": wav(),
    "mp3": b"\xff\xfb\x90\x64" + bytes(40),
    "mp3 with tags": b"ID3\x04\0" + bytes(40),
}


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_below_the_root_is_sent_as_data(tmp_path: Path, name: str) -> None:
    file = tmp_path / "deep" / "a file.bin"  # its bytes say what it is, not its name
    file.parent.mkdir()
    file.write_bytes(IMAGES[name])
    data = base64.b64encode(IMAGES[name]).decode()
    expected = image(f"data:image/{name};base64,{data}")
    assert resolved(image(file.as_uri()), tmp_path) == expected
    assert resolved({"type": "image_url", "image_url": file.as_uri()}, tmp_path) == expected
    localhost = file.as_uri().replace("file://", " FILE://localhost")
    assert resolved(image(localhost), tmp_path) == expected


@pytest.mark.parametrize("name", SOUNDS)
def test_audio_below_the_root_is_sent_as_data(tmp_path: Path, name: str) -> None:
    file = tmp_path / "sound"
    file.write_bytes(SOUNDS[name])
    part = resolved(audio(file.as_uri()), tmp_path)["input_audio"]
    assert part == {"data": base64.b64encode(SOUNDS[name]).decode(), "format": name[:3]}


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\xff\xfet\0e\0", b"BMW drives", b"RIFF....AVI ", b"root:x:0:0:"]
)
@pytest.mark.parametrize("part", [image, audio])
def test_a_file_that_is_neither_image_nor_audio_is_not_sent(
    tmp_path: Path, content: bytes, part: Callable[[str], Any]
) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="by its first bytes it is not"):
        resolved(part(file.as_uri()), tmp_path)


def test_audio_is_no_image_and_the_reverse(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(SOUNDS["wav"])
    (tmp_path / "b").write_bytes(ONE_PIXEL)
    with pytest.raises(ConfigError, match="not an image"):
        resolved(image((tmp_path / "a").as_uri()), tmp_path)
    with pytest.raises(ConfigError, match="not WAV or MP3"):
        resolved(audio((tmp_path / "b").as_uri()), tmp_path)


def _beside(tmp: Path) -> str:
    return (tmp / "beside.png").as_uri()


def _above(tmp: Path) -> str:
    return (tmp / "root").as_uri() + "/../beside.png"


def _encoded(tmp: Path) -> str:
    return (tmp / "root").as_uri() + "/%2e%2e/beside.png"


def _linked(tmp: Path) -> str:
    (tmp / "root" / "link.png").symlink_to(tmp / "beside.png")
    return (tmp / "root" / "link.png").as_uri()


def _linked_folder(tmp: Path) -> str:
    (tmp / "root" / "folder").symlink_to(tmp)
    return (tmp / "root" / "folder" / "beside.png").as_uri()


def _sibling(tmp: Path) -> str:
    (tmp / "root-too").mkdir()
    (tmp / "root-too" / "x.png").write_bytes(ONE_PIXEL)
    return (tmp / "root-too" / "x.png").as_uri()


def _root_itself(tmp: Path) -> str:
    return (tmp / "root").as_uri()


@pytest.mark.parametrize(
    "make", [_beside, _above, _encoded, _linked, _linked_folder, _sibling, _root_itself]
)
def test_nothing_outside_the_root_is_opened(tmp_path: Path, make: Make) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "beside.png").write_bytes(ONE_PIXEL)
    with pytest.raises(ConfigError, match="is not below media_root="):
        resolved(image(make(tmp_path)), tmp_path / "root")


def test_links_that_stay_below_the_root_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x.png").write_bytes(ONE_PIXEL)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "root").symlink_to(tmp_path)
    part = resolved(image((tmp_path / "link" / "x.png").as_uri()), tmp_path / "root")
    assert part["image_url"]["url"].startswith("data:image/png")


@pytest.mark.parametrize("url", ["file:x.png", "file://host/x.png", "file:///a%00b", "file:"])
def test_an_address_that_is_no_path_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="names no file"):
        resolved(image(url), tmp_path)


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="no regular file"):
        resolved(image((tmp_path / "pipe").as_uri()), tmp_path)
    with pytest.raises(ConfigError, match="cannot read"):
        resolved(image((tmp_path / "gone").as_uri()), tmp_path)


def test_a_file_is_at_most_20_mb_unless_more_is_allowed(tmp_path: Path) -> None:
    file = tmp_path / "large.png"
    file.write_bytes(ONE_PIXEL)
    with file.open("r+b") as large:
        large.truncate((20 << 20) + 1)
    with pytest.raises(ConfigError, match="more than media_max_size=20971520 bytes"):
        resolved(image(file.as_uri()), tmp_path)
    assert resolved(image(file.as_uri()), tmp_path, media_max_size="21M")


@pytest.mark.parametrize("role", ["assistant", "tool", "system", None])
def test_only_the_users_messages_name_files(tmp_path: Path, role: Any) -> None:
    (tmp_path / "x.png").write_bytes(ONE_PIXEL)
    with pytest.raises(ConfigError, match="opened only for the user's messages"):
        resolved(image((tmp_path / "x.png").as_uri()), tmp_path, role)


def test_any_part_that_names_a_file_is_refused_and_text_is_text() -> None:
    for part in ({"type": "video_url", "video_url": {"url": "file:///x"}}, image("file:///x")):
        with pytest.raises(ConfigError, match="names a file"):
            resolved(part, None)
    text = {"type": "text", "text": "file:///etc/hostname"}
    web = image("https://example.com/file:///x")
    messages = [{"role": "user", "content": [text, web]}, {"role": "user", "content": "file:///x"}]
    assert with_files(messages, LoadConfig()) == messages


async def test_the_core_and_llamaindex_open_no_file_by_themselves(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(ONE_PIXEL)
    (tmp_path / "x.wav").write_bytes(wav())
    asked = [{"role": "user", "content": [image(file.as_uri())]}]
    blocks = [ImageBlock(path=file), AudioBlock(path=tmp_path / "x.wav", format="wav")]
    facts = {"modalities": {"vision": True, "audio": True}}
    with authored(lambda body: {"content": "x"}, facts) as server:
        with load_model(server.url) as model:
            with pytest.raises(ConfigError, match="media_root=DIR"):
                list(model.chat(asked))
            with pytest.raises(ConfigError, match="media_root=DIR"):
                [token async for token in model.achat(asked)]
            with pytest.raises(ConfigError, match="media_root=DIR"):
                model.count_tokens(asked)
        with pytest.raises(ConfigError, match="media_root=DIR"):
            RocmLLM(base_url=server.url).chat([ChatMessage(blocks=blocks)])
        assert sent(server) == []
        with load_model(server.url, media_root=tmp_path) as model:
            assert "".join(token.text for token in model.chat(asked)) == "x"
        RocmLLM(base_url=server.url, media_root=str(tmp_path)).chat([ChatMessage(blocks=blocks)])
        first, second = (request["messages"][0]["content"] for request in sent(server))
    assert first[0]["image_url"]["url"] == second[0]["image_url"]["url"]
    assert second[1]["input_audio"]["format"] == "wav"


def test_a_server_with_and_without_a_media_root_is_the_same() -> None:
    assert LoadConfig(media_root="/a", media_max_size=1) == LoadConfig()


VIDEOS = {
    "mp4": b"\0\0\0\x18ftypmp42" + bytes(40),
    "webm": b"\x1a\x45\xdf\xa3" + bytes(40),
    "avi": b"RIFF\x20\0\0\0AVI LIST" + bytes(20),
}


@pytest.mark.parametrize("name", VIDEOS)
def test_a_video_below_the_root_is_sent_as_data(tmp_path: Path, name: str) -> None:
    file = tmp_path / "moving"
    file.write_bytes(VIDEOS[name])
    expected = {"data": base64.b64encode(VIDEOS[name]).decode()}
    for kind, field in (("input_video", "url"), ("input_video", "data"), ("video_url", "url")):
        part = resolved({"type": kind, kind: {field: file.as_uri()}}, tmp_path)
        assert part == {"type": "input_video", "input_video": expected}
    with pytest.raises(ConfigError, match="it is not an image"):
        resolved(image(file.as_uri()), tmp_path)
    file.write_bytes(IMAGES["png"])
    with pytest.raises(ConfigError, match="it is not an MP4, WebM"):
        resolved({"type": "input_video", "input_video": {"url": file.as_uri()}}, tmp_path)
