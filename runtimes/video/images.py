"""Folders of images, in and out."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from runtimes.atomic import is_taken, sync, temporary_folder
from runtimes.errors import UsageError
from runtimes.frames import Array, size_of
from runtimes.video.color import STANDARD, format_of, seconds
from runtimes.video.errors import VideoError
from runtimes.video.hdr import Extras
from runtimes.video.sink import free_name, refuse_second_writer
from runtimes.video.source import SourceFrame, SourceInfo
from runtimes.video.stills import (
    LOST_PROFILES,
    SUFFIXES,
    check_suffix,
    may_be_transparent,
    read_image,
    save_image,
    shared_profile,
)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key: frame_2 comes before frame_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def image_paths(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """The images of a folder in the order of their numbers; whatever else lies there does not count."""
    return sorted((p for p in folder.iterdir() if p.suffix.lower() in suffixes and p.name[0] != "."), key=_natural)


def images_of(source: Path) -> list[Path] | None:
    """The images that a folder or a pattern such as ``in/f_%03d.png`` stands for, in order; None for anything else."""
    if source.is_dir():
        return image_paths(source)
    parts = re.fullmatch(r"([^%]*)%(?:0(\d+))?d([^%]*)", source.name)
    if parts is None or source.exists() or source.suffix.lower() not in SUFFIXES or not source.parent.is_dir():
        return None
    before, digits, after = parts.groups()
    numbered = re.compile(re.escape(before) + rf"\d{{{int(digits or 1)},}}" + re.escape(after))
    return [path for path in image_paths(source.parent) if numbered.fullmatch(path.name)]


class ImageFolder:
    """Images in the order of their numbers, at a constant rate."""

    def __init__(self, name: Path, paths: Sequence[Path], rate: Fraction) -> None:
        """Look at all headers and at the first image. ``name`` is for messages.

        Raises:
            VideoError: no images.
        """
        self._paths = paths
        if not self._paths:
            raise VideoError(f"{name} holds no images ({', '.join(SUFFIXES)})")
        self._rate = rate
        self._alpha = any(map(may_be_transparent, self._paths))
        profile, lost = shared_profile(self._paths)
        first = read_image(self._paths[0], alpha=self._alpha)
        self.info = SourceInfo(
            name=str(name),
            size=size_of(first),
            rate=rate,
            tick=1 / rate,
            start=Fraction(0),
            duration=len(self._paths) / rate,
            color=STANDARD,
            pixel_format=format_of(first),
            alpha=self._alpha,
            extras=Extras(profile=profile, lost=(LOST_PROFILES,) if lost else ()),
        )

    def frames(self, since: Fraction | None = None) -> Iterator[SourceFrame]:
        """See :class:`runtimes.video.source.Source`.

        Raises:
            VideoError: an image of another size or depth.
        """
        start = 0 if since is None else max(0, int(since * self._rate))
        for index, path in enumerate(self._paths[start:], start):
            rgb = read_image(path, alpha=self._alpha)
            depth = format_of(rgb)
            if (size_of(rgb), depth) != (self.info.size, self.info.pixel_format):
                raise VideoError(
                    f"{path} is {size_of(rgb)} {depth}, the images before it are {self.info.size} "
                    f"{self.info.pixel_format} (up to {seconds(index / self._rate)}): "
                    "bring them to one size and depth first"
                )
            yield SourceFrame(time=index / self._rate, duration=1 / self._rate, rgb=rgb)

    def close(self) -> None:
        """Nothing is held open."""


class ImageSink:
    """Numbered images in a folder that appears when all are written."""

    pixel_format = None

    def __init__(self, target: Path, *, deep: bool, force: bool, profile: bytes | None = None) -> None:
        """``target`` is a folder, or a folder with a pattern such as ``out/frame_%05d.png``; pictures that are ``deep``
        have 16 bits; ``profile`` is their ICC profile.

        Raises:
            UsageError: the folder exists, or the pattern cannot hold such pictures.
        """
        self.path, self._pattern = split_pattern(target)
        check_suffix(Path(self._pattern), deep=deep)
        if is_taken(self.path) and not (force and _replaceable(self.path)):
            why = "exists: pass --force to replace it" if _replaceable(self.path) else "exists and holds other files"
            raise UsageError(f"{self.path} {why}, or name another folder")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._force, self._profile = force, profile
        self._staging = temporary_folder(self.path)
        try:
            if not force:
                refuse_second_writer(self._staging, self.path)
        except UsageError:
            self.discard()
            raise
        self._count = 0

    def write(self, picture: Array, time: Fraction, duration: Fraction) -> None:
        """Add one image; the times are those of the numbers."""
        self._count += 1
        save_image(picture, self._staging / (self._pattern % self._count), self._profile)

    def finish(self, *, whole: bool = True) -> None:
        """Give the folder its name. The folder that had it goes last, so that a failure loses nothing.

        Raises:
            UsageError: without ``force``, a folder of that name appeared meanwhile. Both are kept.
        """
        for path in [*self._staging.iterdir(), self._staging]:
            sync(path)
        if is_taken(self.path) and not self._force:
            kept = free_name(self.path)
            self._staging.rename(kept)
            raise UsageError(f"{self.path} appeared while this job ran, and is not replaced: the result is {kept}")
        old = self._staging.with_name(f"{self._staging.name}-old")
        try:
            if self.path.exists():
                self.path.rename(old)
            self._staging.rename(self.path)
        except BaseException:
            if old.exists():
                old.rename(self.path)
            raise
        shutil.rmtree(old, ignore_errors=True)

    def discard(self) -> None:
        """Leave nothing."""
        shutil.rmtree(self._staging, ignore_errors=True)


def split_pattern(target: Path) -> tuple[Path, str]:
    """Folder and pattern of an image output.

    Raises:
        UsageError: a pattern without exactly one number, or of another kind of file.
    """
    if "%" not in target.name:
        return target, "%06d.png"
    check_suffix(target)
    if not re.fullmatch(r"[^%]*%0?\d*d[^%]*", target.name):
        raise UsageError(
            f"{target.name} is not a pattern for numbered files; expected one %d, for example frame_%06d.png"
        )
    return target.parent, target.name


def _replaceable(folder: Path) -> bool:
    return folder.is_dir() and all(path.suffix.lower() in SUFFIXES for path in folder.iterdir())
