"""Read the headers of candidates, and pair each projector with its model."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rocm_core.config.option import expanded
from rocm_core.discover.places import Candidate, candidates
from rocm_core.errors import ModelNotFound, RocmError
from rocm_core.gguf import GGUFInfo, read_model

# Precisions of projectors, the preferred one first.
_PRECISIONS = ("F16", "BF16", "F32", "Q8_0")


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model on this machine.

    Attributes:
        name: what ``load_model`` takes; it takes ``path`` as well.
        path: the first file.
        kind: ``model``, ``decision`` (answers typed questions and nothing else), ``projector``,
            ``adapter``, another ``general.type``, or ``unreadable``.
        source: ``directory``, ``llama.cpp``, ``huggingface``, ``lmstudio`` or ``ollama``.
        parts: all files, in order.
        size: bytes of all files that exist.
        info: facts of the header, all parts together; ``None`` if it cannot be read.
        mmproj: the projector with which this model takes images or audio; ``None`` without one.
        problem: why llama.cpp cannot load it, and what to do; ``None`` if it can.
    """

    name: str
    path: Path
    kind: str
    source: str
    parts: tuple[Path, ...]
    size: int
    info: GGUFInfo | None = None
    mmproj: Path | None = None
    problem: str | None = None


def discover_models(
    *directories: str | os.PathLike[str],
    env: Mapping[str, str] = os.environ,
    caches: bool = True,
) -> list[FoundModel]:
    """List every model in ``directories``, in ``ROCM_MODEL_DIR``, and in other programs' caches.

    Looks below each directory, and in the caches of llama.cpp, the Hugging Face hub, LM Studio
    and Ollama. The parts of a split model are one entry; a projector that belongs to a model is
    that entry's ``mmproj``. Files that llama.cpp cannot load are listed with their problem.
    Reads headers only.

    Args:
        directories: where to look first.
        env: environment variables that name directories and caches.
        caches: whether to look into the caches of other programs.

    Raises:
        ModelNotFound: one of ``directories`` does not exist.
    """
    for directory in directories:
        if not expanded(directory).is_dir():
            raise ModelNotFound(f"no directory {os.fspath(directory)}")
    listed = list(candidates(directories, env, caches=caches))
    return _paired([_examined(one) for one in listed], {c.paths[0]: c.projector for c in listed})


def find_by_name(name: str, env: Mapping[str, str] = os.environ) -> Path | None:
    """Return the first file of the model that ``discover_models`` lists under ``name``.

    Reads no header. Case matters only if two names differ by it alone. ``None``: no such model.
    """
    listed = list(candidates((), env, caches=True))
    for same in (str.__eq__, lambda a, b: a.casefold() == b.casefold()):
        for candidate in listed:
            if same(candidate.name, name) and candidate.problem is None:
                return candidate.paths[0]
    return None


def _examined(candidate: Candidate) -> FoundModel:
    there = [path for path in candidate.paths if path.is_file()]
    found = FoundModel(
        name=candidate.name,
        path=candidate.paths[0],
        kind="unreadable",
        source=candidate.source,
        parts=candidate.paths,
        size=sum(path.stat().st_size for path in there),
        problem=candidate.problem,
    )
    if candidate.problem:
        return found
    if len(there) < len(candidate.paths):
        absent = next(path for path in candidate.paths if path not in there)
        return replace(found, problem=f"incomplete: {absent.name} is missing; download it")
    try:
        info = read_model(candidate.paths[0])
    except RocmError as error:
        return replace(found, problem=str(error))
    decides = info.kind == "model" and info.decision_type
    kind = "decision" if decides else info.kind
    return replace(found, kind=kind, info=info, problem=_problem(info))


def _problem(info: GGUFInfo) -> str | None:
    if info.missing:
        return f"incomplete: {info.missing} bytes are missing at its end; download it again"
    if info.big_endian:
        return "big-endian: llama.cpp on this machine cannot load it; download the other variant"
    return None


def _paired(found: Sequence[FoundModel], told: Mapping[Path, Path | None]) -> list[FoundModel]:
    projectors = [model for model in found if model.kind == "projector" and not model.problem]
    paired = [
        replace(model, mmproj=told.get(model.path) or _projector(model, projectors))
        if model.kind in ("model", "decision")
        else model
        for model in found
    ]
    taken = {model.mmproj for model in paired}
    return [model for model in paired if model.kind != "projector" or model.path not in taken]


def _projector(model: FoundModel, projectors: Iterable[FoundModel]) -> Path | None:
    beside = [p for p in projectors if p.path.parent == model.path.parent and _matches(model, p)]
    best = max(beside, key=lambda p: (_likeness(model.name, p.name), _precision(p)), default=None)
    return best.path if best else None


def _matches(model: FoundModel, projector: FoundModel) -> bool:
    """Return whether a projector's output is as wide as the model's embedding, or unknown."""
    width = projector.info and projector.info.metadata.get("clip.vision.projection_dim")
    mine = model.info and model.info.embedding_length
    return width is None or mine is None or width == mine


def _likeness(model: str, projector: str) -> int:
    rest = projector.lower().replace("mmproj", "").strip("-._")
    pairs = zip(model.lower(), rest, strict=False)
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)
    return sum(1 for _ in same)


def _precision(projector: FoundModel) -> int:
    kind = projector.info.quantization if projector.info else None
    return -_PRECISIONS.index(kind) if kind in _PRECISIONS else -len(_PRECISIONS)
