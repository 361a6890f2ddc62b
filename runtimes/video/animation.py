"""Animated WebP, which FFmpeg does not decode: read with Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from runtimes.contract import Size
from runtimes.video.color import STANDARD
from runtimes.video.errors import VideoError
from runtimes.video.hdr import Extras
from runtimes.video.source import SourceFrame, SourceInfo
from runtimes.video.stills import LOST_PROFILES, opened, profile_of

_MILLISECOND = Fraction(1, 1000)

_SHORTEST_MS = 10
"""What viewers make of frames that ask for less."""

_HEADER = 16


def is_webp(path: Path) -> bool:
    """Whether a file is WebP by its first bytes, whatever it is called."""
    with path.open("rb") as file:
        head = file.read(_HEADER)
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


class AnimatedWebp:
    """The frames of an animated WebP, whole pictures with the times that the file gives."""

    def __init__(self, path: Path) -> None:
        """Read how long each frame shows.

        Raises:
            VideoError: not whole, or a single picture.
        """
        self._path = path
        with opened(path) as image:
            count = getattr(image, "n_frames", 1)
            if count < 2:
                raise VideoError(f"{path} is one picture; at least 2 frames are needed: pass a folder of images")
            self._alpha = bool(image.has_transparency_data)
            profile = profile_of(image)
            size = Size(*image.size)
            lengths = []
            for index in range(count):
                image.seek(index)
                image.load()
                lengths.append(max(_SHORTEST_MS, int(image.info.get("duration", 0))) * _MILLISECOND)
        self._lengths = lengths
        self.info = SourceInfo(
            name=str(path),
            size=size,
            rate=1 / lengths[0] if len(set(lengths)) == 1 else None,
            nominal=1 / min(lengths),
            tick=_MILLISECOND,
            start=Fraction(0),
            duration=sum(lengths, Fraction(0)),
            color=STANDARD,
            pixel_format="rgba" if self._alpha else "rgb24",
            alpha=self._alpha,
            extras=Extras(profile=profile or None, lost=(LOST_PROFILES,) if profile == b"" else ()),
        )

    def frames(self, since: Fraction | None = None) -> Iterator[SourceFrame]:
        """See :class:`runtimes.video.source.Source`.

        Raises:
            VideoError: a frame is damaged.
        """
        time = Fraction(0)
        with opened(self._path) as image:
            for index, length in enumerate(self._lengths):
                if since is None or time + length > since:
                    image.seek(index)
                    rgb = np.asarray(image.convert("RGBA" if self._alpha else "RGB"))
                    yield SourceFrame(time=time, duration=length, rgb=rgb)
                time += length

    def close(self) -> None:
        """Nothing is held open."""
