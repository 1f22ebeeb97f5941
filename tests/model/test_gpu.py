"""On a machine with a GPU, with every engine that sees one: the GPU is used, and freed again."""

from __future__ import annotations

import warnings

import psutil
import pytest

from rocm_core import load_model
from rocm_core.backend.local import LocalConnection
from rocm_core.config import Engine
from rocm_core.diagnosis.gpu_use import gpu_use
from rocm_core.engine.locate import find_engine
from rocm_core.engine.probe import capabilities
from rocm_core.errors import EngineNotFound

pytestmark = [pytest.mark.engine, pytest.mark.gpu]


@pytest.fixture(scope="module")
def engines_on_gpu() -> list[Engine]:
    """The engines that list a GPU themselves, whatever our own judgment of the machine is."""
    kinds: list[Engine] = [kind for kind in ("binary", "embedded") if _sees_gpu(kind)]
    if not kinds:
        pytest.skip("no engine of this machine sees a GPU")
    return kinds


def _sees_gpu(kind: Engine) -> bool:
    try:
        return capabilities(find_engine(kind)).state == "gpu"
    except EngineNotFound:
        return False


def test_the_demo_model_is_loaded_on_the_gpu_and_unloaded(engines_on_gpu: list[Engine]) -> None:
    for engine in engines_on_gpu:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with load_model("demo", engine=engine, require_gpu=True) as model:
                model.load()
                connection = model.connection
                assert isinstance(connection, LocalConnection)
                assert connection.config.backend == "rocm"
                pid, use = connection.server.pid, gpu_use(connection.server.log_tail())
                text = "".join(token.text for token in model.generate("Hello", max_tokens=16))
        assert use.used, f"{engine}: the load's log shows no buffer on a GPU"
        assert use.devices
        assert text
        assert pid is not None
        assert not psutil.pid_exists(pid)
