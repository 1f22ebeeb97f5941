"""What the doctor's tests share: findings by their name, files of a made-up machine."""

from __future__ import annotations

from pathlib import Path

from rocm_core.types import Check


def by_name(checks: list[Check]) -> dict[str, Check]:
    assert len({check.name for check in checks}) == len(checks)
    return {check.name: check for check in checks}


def write(root: Path, path: str, content: str = "") -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(content)
