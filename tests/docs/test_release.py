"""Cutting a release: what is written, and what cannot be released."""

from __future__ import annotations

import re

import pytest

from scripts.release import CannotRelease, cut
from tests.support.pages import ROOT

PROJECT = '"""P."""\n\n__version__ = "0.1.9"\n'
CHANGES = (
    "# Changelog\n\n## [Unreleased]\n\n### Added\n- A thing.\n\n## [0.1.9] - 2026-01-01\n- Old.\n"
)


def test_the_version_and_the_section_are_written() -> None:
    project, changes = cut(PROJECT, CHANGES, "0.1.10", "2026-02-03")
    assert project == PROJECT.replace("0.1.9", "0.1.10")
    assert changes == CHANGES.replace(
        "## [Unreleased]\n", "## [Unreleased]\n\n## [0.1.10] - 2026-02-03\n"
    )


@pytest.mark.parametrize(
    ("project", "changes", "version", "why"),
    [
        (PROJECT, CHANGES, "0.1.9", "is not above 0.1.9"),
        (PROJECT, CHANGES, "0.1.10rc1", "is no version"),
        (PROJECT, CHANGES.replace("- A thing.\n", ""), "0.2.0", "no line under"),
        (PROJECT, "# Changelog\n", "0.2.0", "no line under"),
        ("x = 1\n", CHANGES, "0.2.0", "has no line __version__"),
    ],
)
def test_what_cannot_be_released_is_said(
    project: str, changes: str, version: str, why: str
) -> None:
    with pytest.raises(CannotRelease, match=why):
        cut(project, changes, version, "2026-02-03")


def test_this_repository_is_cut_or_can_be() -> None:
    """What is not released can be; what is has the version of the packages."""
    project = (ROOT / "rocm_core/__init__.py").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = re.search(r'__version__ = "(.+)"', project)
    assert version
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    assert sections[0].startswith("[Unreleased]")
    assert sections[1].startswith(f"[{version[1]}] - ")
    if "\n- " in sections[0]:
        _, changes = cut(project, changelog, "99.0.0", "2026-02-03")
        assert "## [99.0.0] - 2026-02-03\n" in changes
    for section in sections:
        kinds = re.findall(r"^### (.+)$", section, re.MULTILINE)
        assert kinds == [kind for kind in ("Added", "Changed", "Fixed") if kind in kinds]
