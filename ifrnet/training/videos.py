"""Any folder of videos, cut into clips by the rules of :mod:`ifrnet.footage.triplets`."""

from __future__ import annotations

from pathlib import Path

from ifrnet.training.cutting import ClipSource, prepare
from ifrnet.training.errors import TrainingError

SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".ts", ".3gp", ".y4m")


def prepare_videos(folder: Path, output: Path) -> int:
    """Cut clips of every video below ``folder`` into ``output``. Returns their number.

    Raises:
        TrainingError: no video, or none with usable motion.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not paths:
        raise TrainingError(f"{folder} holds nothing usable: looked for videos ({' '.join(SUFFIXES)})")
    return prepare([ClipSource(name=path.name, path=path) for path in paths], output)
