"""Which models are on this machine.

places.py    where they lie: directories and other programs' caches → candidates
models.py    candidates → facts, projectors paired, problems told
"""

from __future__ import annotations

from rocm_core.discover.models import FoundModel, discover_models, find_by_name

__all__ = ["FoundModel", "discover_models", "find_by_name"]
