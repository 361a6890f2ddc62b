"""Any folder of videos, cut into clips by the rules of :mod:`ifrnet.footage.triplets`."""

from __future__ import annotations

from pathlib import Path

from ifrnet.footage.errors import FootageError
from ifrnet.footage.video import read_frames
from ifrnet.training.cutting import ClipSource, prepare
from ifrnet.training.errors import TrainingError

SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".ts", ".3gp", ".y4m")


def prepare_videos(folder: Path, output: Path) -> int:
    """Cut clips of every video below ``folder`` into ``output``. Returns their number.

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
    return prepare([ClipSource(name=path.relative_to(folder).as_posix(), path=path) for path in paths], output)


def _problem(path: Path) -> str:
    """Why the first frame of a video cannot be had; empty where it can."""
    try:
        return f"{path} holds no frame" if next(read_frames(path, stop=1), None) is None else ""
    except FootageError as error:
        return str(error)
