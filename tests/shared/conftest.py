"""Every test of servers that outlive their program has a registry of its own."""

from __future__ import annotations

import pytest

from rocm_core.shared.registry import Registry


@pytest.fixture(autouse=True)
def _registry_of_its_own(registry: Registry) -> None: ...
