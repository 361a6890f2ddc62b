"""Any folder of videos, cut into clips by the rules of :mod:`ifrnet.footage.triplets`."""

from __future__ import annotations

from pathlib import Path

from ifrnet.footage.errors import FootageError
from ifrnet.footage.video import read_frames
from ifrnet.training.cutting import SIDE, ClipSource, prepare
from ifrnet.training.errors import TrainingError

SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".ts", ".3gp", ".y4m")


def prepare_videos(folder: Path, output: Path, side: int = SIDE, places: int = 1) -> int:
    """Cut clips of every video below ``folder`` into ``output``. Returns their number.

    ``side`` and ``places`` as for :func:`ifrnet.training.openly_licensed.prepare_openly_licensed`.

    Raises:
        TrainingError: no video, some that cannot be read, or none with usable motion.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not paths:
        raise TrainingError(f"{folder} holds nothing usable: looked for videos ({' '.join(SUFFIXES)})")
    # Before an hour of cutting, and all of them at once.
    if bad := [problem for path in paths if (problem := _problem(path))]:
        raise TrainingError(
            f"{len(bad)} of {len(paths)} videos are of no use ({'; '.join(bad)}): expected videos that FFmpeg decodes; "
            f"take them out of {folder}"
        )
    sources = [ClipSource(name=path.relative_to(folder).as_posix(), path=path, per_window=places) for path in paths]
    return prepare(sources, output, side=side)


def _problem(path: Path) -> str:
    """Why the first frame of a video cannot be had; empty where it can."""
    try:
        return f"{path} holds no frame" if next(read_frames(path, stop=1), None) is None else ""
    except FootageError as error:
        return str(error)
