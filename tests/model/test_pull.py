"""Downloading a model without loading it: progress, what is there already, what was broken off."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from rocm_core import LoadConfig, load_model
from rocm_core.config import Engine
from rocm_core.errors import ConfigError, ServerStartError
from rocm_core.model.pull import PullProgress, pull
from tests.support.models.reciter import RECITER
from tests.support.servers.hub import Hub

CONTENT = Path(RECITER).read_bytes()
FILES = {"org/tiny": ["tiny-Q4_K_M.gguf"]}
HALF = len(CONTENT) // 2


def config(engine: Engine, hub: Hub, cache: Path) -> LoadConfig:
    return LoadConfig(engine=engine, environment=hub.environment(cache))


def test_a_pulled_model_is_there_whole_and_downloaded_once(engine: Engine, tmp_path: Path) -> None:
    with Hub(FILES, CONTENT) as hub:
        path = pull("org/tiny:Q4_K_M", config(engine, hub, tmp_path))
        assert pull("org/tiny", config(engine, hub, tmp_path)) == path
        assert hub.ranges == [""]
    assert path.name == "tiny-Q4_K_M.gguf"
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(tmp_path)


def test_progress_counts_the_bytes_that_are_here(engine: Engine, tmp_path: Path) -> None:
    heard: list[PullProgress] = []
    with Hub(FILES, CONTENT, slow_at=HALF) as hub:

        def show(so_far: PullProgress) -> None:
            heard.append(so_far)
            if 0 < so_far.done == heard[max(len(heard) - 3, 0)].done:
                hub.go_on.set()

        pull("org/tiny", config(engine, hub, tmp_path), show)
    known = [so_far for so_far in heard if so_far.total is not None]
    assert {so_far.total for so_far in known} == {len(CONTENT)}
    assert 0 < known[0].done <= HALF
    assert [so_far.done for so_far in heard] == sorted(so_far.done for so_far in heard)


def test_a_download_that_was_stopped_goes_on_where_it_ended(engine: Engine, tmp_path: Path) -> None:
    def stop(so_far: PullProgress) -> None:
        if so_far.done:
            raise KeyboardInterrupt

    resumed: set[int] = set()
    with Hub(FILES, CONTENT, slow_at=HALF) as hub:
        with pytest.raises(KeyboardInterrupt):
            pull("org/tiny", config(engine, hub, tmp_path), stop)
        [unfinished] = tmp_path.rglob("*.downloadInProgress")
        kept = unfinished.stat().st_size
        assert 0 < kept <= HALF
        path = pull("org/tiny", config(engine, hub, tmp_path), lambda so: resumed.add(so.resumed))
        assert hub.ranges == ["", f"bytes={kept}-"]
    assert path.read_bytes() == CONTENT
    assert resumed <= {0, kept}


@pytest.mark.parametrize("left", [CONTENT, CONTENT[::-1], CONTENT + b"x"])
def test_a_file_that_was_whole_or_cannot_go_on_is_no_obstacle(
    engine: Engine, tmp_path: Path, left: bytes
) -> None:
    # llama-server itself asks for the bytes behind the end, and fails for ever.
    blobs = tmp_path / "models--org--tiny/blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{hashlib.sha256(CONTENT).hexdigest()}.downloadInProgress").write_bytes(left)
    with Hub(FILES, CONTENT) as hub:
        path = pull("org/tiny", config(engine, hub, tmp_path))
        assert hub.ranges == ([] if left == CONTENT else [""])
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.rglob("*.downloadInProgress")) == []


def test_what_is_pulled_needs_no_hub_any_more(engine: Engine, tmp_path: Path) -> None:
    with Hub(FILES, CONTENT) as hub:
        environment = hub.environment(tmp_path)
        pull("org/tiny", config(engine, hub, tmp_path))
    with load_model("org/tiny", engine=engine, environment=environment) as model:
        assert "".join(token.text for token in model.generate("Hello", max_tokens=2))


def test_what_the_hub_does_not_have_is_told(engine: Engine, tmp_path: Path) -> None:
    with Hub(FILES, CONTENT) as hub:
        with pytest.raises(ServerStartError, match="no GGUF file of that quantization"):
            pull("org/tiny:Q8_0", config(engine, hub, tmp_path))
        with pytest.raises(ServerStartError, match=r"refuses the repository \(HTTP 404\)"):
            pull("org/gone", config(engine, hub, tmp_path))


@pytest.mark.parametrize("ref", ["demo", "http://127.0.0.1:9"])
def test_what_is_no_repository_is_not_pulled(ref: str) -> None:
    with pytest.raises(ConfigError, match="only org/repo"):
        pull(ref)
