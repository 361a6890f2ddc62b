"""Where samples come from: a video, a folder of frames, or the shipped clip. Frames are checked while they are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from export.int8.clip import CLIP, HELD_ASIDE
from export.int8.errors import CalibrationError
from ifrnet.footage.video import Frame, read_frames
from runtimes.video.images import image_paths
from runtimes.video.stills import read_8_bits

MIN_SIDE = 64
MAX_FRAMES = 20000
"""Longer videos are read up to here."""

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True, kw_only=True)
class Footage:
    """Footage that can be read more than once.

    Attributes:
        path: a video file or a folder of images, which are taken in the order of their numbers.
        stop: one past the last frame used.
    """

    path: Path
    stop: int = MAX_FRAMES

    @classmethod
    def shipped(cls) -> Footage:
        """The scenes of the shipped clip that are for calibration."""
        return cls(path=CLIP, stop=HELD_ASIDE)

    def frames(self) -> Iterator[Frame]:
        """The frames.

        Raises:
            CalibrationError: no such file or folder, a video that is damaged, frames under 64 px or of mixed sizes.
            VideoError: an image that cannot be read.
        """
        if not self.path.exists():
            raise CalibrationError(f"{self.path} does not exist; expected a video file or a folder of frames")
        named = _images(self.path) if self.path.is_dir() else _video(self.path)
        first: tuple[int, ...] | None = None
        for name, frame in islice(named, self.stop):
            first = first or frame.shape
            if min(frame.shape[:2]) < MIN_SIDE:
                raise CalibrationError(f"{name} is {_size(frame.shape)}; calibration needs frames of 64x64 or more")
            if frame.shape != first:
                raise CalibrationError(
                    f"{name} is {_size(frame.shape)}, the frames before it {_size(first)}; expected frames of one size"
                )
            yield frame


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def _video(path: Path) -> Iterator[tuple[str, Frame]]:
    import av

    try:
        for i, frame in enumerate(read_frames(path)):
            yield f"frame {i} of {path}", frame
    except av.FFmpegError as error:
        raise CalibrationError(f"{path} cannot be decoded: {error}") from error


def _images(folder: Path) -> Iterator[tuple[str, Frame]]:
    paths = image_paths(folder, IMAGES)
    if not paths:
        raise CalibrationError(f"{folder} holds no images; expected frames as {', '.join(IMAGES)}")
    for path in paths:
        yield str(path), read_8_bits(path)
