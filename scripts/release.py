"""Cut a release: the version in ``rocm_core/__init__.py``, and its section in ``CHANGELOG.md``.

The thin distributions of ``packaging/`` get the version, too.

python -m scripts.release 0.2.0           write both, and say what comes next
python -m scripts.release 0.2.0 --check   write nothing; exit 1 with the reason if it cannot be cut

``.ci/release`` then builds the wheel and proves it in clean environments.
"""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
_UNRELEASED = "## [Unreleased]\n"
_VERSION = re.compile(r'^__version__ = "(\d+)\.(\d+)\.(\d+)"$', re.MULTILINE)
_NEXT = """\
{version} is cut. Next:
  .ci/release                                   build it, and prove the wheel
  git commit -am "Release {version}"
  git tag -a v{version} -m "llama-rocm {version}"
  twine upload dist/*                           from a clean checkout of the tag
"""


class CannotRelease(Exception):
    """The repository is not in a state that can be released; the text says why."""


def cut(project: str, changelog: str, version: str, date: str) -> tuple[str, str]:
    """Return both files as they are in the release.

    Args:
        project: text of ``rocm_core/__init__.py``.
        changelog: text of ``CHANGELOG.md``.
        version: of the release, as ``1.2.3``.
        date: as ISO 8601 writes it.

    Raises:
        CannotRelease: the version is none, or is not above the present one, or there is nothing
            to release.
    """
    found = _VERSION.search(project)
    if found is None:
        raise CannotRelease('rocm_core/__init__.py has no line __version__ = "1.2.3"')
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise CannotRelease(f"{version!r} is no version: give three numbers, such as 1.2.3")
    if tuple(map(int, version.split("."))) <= tuple(map(int, found.groups())):
        raise CannotRelease(
            f"{version} is not above {'.'.join(found.groups())}: choose a higher one"
        )
    head, separator, rest = changelog.partition(_UNRELEASED)
    notes = rest.partition("\n## [")[0]
    if not separator or "\n- " not in notes:
        raise CannotRelease("CHANGELOG.md has no line under [Unreleased]: write what is new")
    project = _VERSION.sub(f'__version__ = "{version}"', project, count=1)
    return project, f"{head}{_UNRELEASED}\n## [{version}] - {date}\n{rest}"


def of_version(thin: str, version: str) -> str:
    """Return the ``pyproject.toml`` of a thin distribution for a version of llama-rocm."""
    thin = re.sub(r'^version = "[\d.]+"$', f'version = "{version}"', thin, flags=re.MULTILINE)
    return re.sub(r"\]>=[\d.]+,", f"]>={version},", thin)


def main() -> int:
    """Write the release, or say why it cannot be cut.

    Returns:
        Exit code: 1 if it cannot be cut.
    """
    parser = argparse.ArgumentParser(prog="python -m scripts.release", description=__doc__)
    parser.add_argument("version", help="of the release, as 1.2.3")
    parser.add_argument("--check", action="store_true", help="write nothing")
    given = parser.parse_args()
    files = ROOT / "rocm_core/__init__.py", ROOT / "CHANGELOG.md"
    try:
        _require_committed()
        project, changelog = (file.read_text(encoding="utf-8") for file in files)
        texts = cut(project, changelog, given.version, _today())
    except CannotRelease as error:
        print(f"not released: {error}")
        return 1
    if not given.check:
        for file, text in zip(files, texts, strict=True):
            file.write_text(text, encoding="utf-8")
        for thin in sorted((ROOT / "packaging").glob("*/pyproject.toml")):
            thin.write_text(of_version(thin.read_text(encoding="utf-8"), given.version), "utf-8")
        print(_NEXT.format(version=given.version), end="")
    return 0


def _today() -> str:
    return datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat()


def _require_committed() -> None:
    command = ["git", "status", "--porcelain"]
    changed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    if changed:
        names = ", ".join(line[3:] for line in changed.splitlines()[:5])
        raise CannotRelease(f"files are not committed ({names}): commit or remove them")


if __name__ == "__main__":
    raise SystemExit(main())
