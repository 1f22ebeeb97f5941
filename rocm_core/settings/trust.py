"""The files of projects that the user trusts: their owner, path and content, noted for this user.

A file that a folder brings along may name programs to run, or a server that a key goes to. It is
read like the rest, but these options of it count only after ``llama-rocm trust``; any change of
the file ends the trust. The notes are in the user's own directory, with mode 0600.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

from rocm_core.errors import ConfigError

_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Trusted:
    """A file as it was when the user trusted it.

    Attributes:
        path: absolute, without links.
        owner: user id of its owner; -1 where there are none (Windows).
        sha256: digest of its content.
    """

    path: str
    owner: int
    sha256: str


def read_bounded(path: Path) -> bytes:
    """Return the content of a file of settings.

    Raises:
        ConfigError: it cannot be read, or is longer than 1 MiB.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{path} cannot be read: a file of settings has at most 1 MiB")
    return data


def trusts(notes: Path, path: Path, data: bytes) -> bool:
    """Return whether the ``notes`` trust ``path`` with the content ``data``."""
    return _note(path, data) in TrustStore(notes).entries()


class TrustStore:
    """The notes of one user."""

    def __init__(self, file: Path) -> None:
        """``file``: where they are; it may not exist yet."""
        self._file = file

    def entries(self) -> list[Trusted]:
        """Return what is trusted, by path; nothing if others could have written the notes."""
        try:
            with self._file.open("rb") as file:
                facts = os.fstat(file.fileno())
                notes = json.loads(file.read())
            found = [Trusted(str(n["path"]), int(n["owner"]), str(n["sha256"])) for n in notes]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            warnings.warn(
                f"{self._file} cannot be read ({type(error).__name__}): no folder is trusted. "
                "Remove it, and trust your folders anew: llama-rocm trust",
                stacklevel=2,
            )
            return []
        if hasattr(os, "getuid") and (facts.st_uid != os.getuid() or facts.st_mode & 0o022):
            warnings.warn(
                f"{self._file} is not read: others can write it. If it is as you left it: "
                f"chmod 600 {self._file}",
                stacklevel=2,
            )
            return []
        return sorted(found, key=lambda entry: entry.path)

    def holds(self, entry: Trusted) -> bool:
        """Return whether the file of an entry is still as it was."""
        path = Path(entry.path)
        try:
            return _note(path, read_bounded(path)) == entry
        except ConfigError:
            return False

    def add(self, path: Path, data: bytes) -> None:
        """Trust a file with this content, instead of any earlier one.

        Raises:
            ConfigError: the notes cannot be written.
        """
        note = _note(path, data)
        self._write([*(e for e in self.entries() if e.path != note.path), note])

    def revoke(self, directory: Path) -> list[str]:
        """Trust no file of ``directory`` any more; returns the paths of those that were.

        Raises:
            ConfigError: the notes cannot be written.
        """
        entries, real = self.entries(), directory.resolve()
        ended = [entry for entry in entries if Path(entry.path).parent == real]
        if ended:
            self._write([entry for entry in entries if entry not in ended])
        return [entry.path for entry in ended]

    def _write(self, entries: list[Trusted]) -> None:
        directory = self._file.parent
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Made with mode 0600, and put in place whole: another program may read it meanwhile.
            number, name = tempfile.mkstemp(dir=directory, prefix=f".{self._file.name}.")
            try:
                with os.fdopen(number, "w", encoding="utf-8") as file:
                    json.dump([asdict(entry) for entry in entries], file, indent=1)
                Path(name).replace(self._file)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            raise ConfigError(f"{self._file} cannot be written: {error.strerror}") from error


def _note(path: Path, data: bytes) -> Trusted:
    real = path.resolve()
    try:
        owner = real.stat().st_uid if hasattr(os, "getuid") else -1
    except OSError:
        owner = -1
    return Trusted(str(real), owner, hashlib.sha256(data).hexdigest())
