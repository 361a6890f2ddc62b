"""Several videos in one call: each to the folder of the outputs, and a failure does not stop the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from runtimes.cli import INTERRUPTED
from runtimes.errors import RuntimesError, UsageError
from runtimes.printable import note

VIDEOS = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".vob", ".flv", ".wmv"),
    *(".mxf", ".nut", ".ogv", ".3gp", ".gif", ".y4m"),
)
"""Suffixes of what is taken from a folder; what is named itself may be called anything."""

_KEPT = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".nut", ".gif")
"""Suffixes that outputs share with their inputs; the others become .mkv."""


def jobs_of(inputs: Sequence[str], output: str) -> list[tuple[str, str]]:
    """Source and target of each job: one, or several into the folder ``output``, which has to exist.

    Raises:
        UsageError: several inputs without a folder, or two that would have the same output.
    """
    sources = list(inputs)
    if len(inputs) == 1:
        videos = _videos_in(Path(inputs[0]))
        if not videos:
            return [(inputs[0], output)]
        sources = list(map(str, videos))
    folder = Path(output)
    if not folder.is_dir():
        raise UsageError(f"{len(sources)} videos go to a folder, and {output} is none: make that folder, or name one")
    jobs: dict[str, str] = {}
    for source in sources:
        path = Path(source)
        suffix = path.suffix.lower() if path.suffix.lower() in _KEPT else ".mkv"
        target = str(folder / f"{path.stem}{suffix}")
        if target in jobs:
            raise UsageError(f"{jobs[target]} and {source} would both become {target}: do them one by one")
        jobs[target] = source
    return [(source, target) for target, source in jobs.items()]


def _videos_in(path: Path) -> list[Path]:
    """The videos of a folder, by their names; none of a folder of images, which is one input."""
    from runtimes.video.images import image_paths

    if not path.is_dir() or image_paths(path):
        return []
    return sorted(p for p in path.iterdir() if p.suffix.lower() in VIDEOS and p.name[0] != "." and p.is_file())


def run_all(jobs: Sequence[tuple[str, str]], run: Callable[[str, str], int]) -> int:
    """Run each job; returns 1 when one of them failed, and stops when interrupted."""
    failed: list[str] = []
    for number, (source, target) in enumerate(jobs, 1):
        note(f"[{number}/{len(jobs)}] {source}")
        try:
            if run(source, target) == INTERRUPTED:
                return INTERRUPTED
        except (RuntimesError, OSError) as error:
            note(f"failed: {error}")
            failed.append(source)
    note(
        f"{len(jobs)} videos: {len(jobs) - len(failed)} done, {len(failed)} failed" + "".join(f"; {f}" for f in failed)
    )
    return 1 if failed else 0
