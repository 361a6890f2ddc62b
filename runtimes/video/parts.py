"""Parts of a long video, made one by one (or anywhere) and joined without encoding again."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from runtimes.artifact import read_manifest
from runtimes.errors import UsageError
from runtimes.video.encoders import keeps_alpha, takes
from runtimes.video.errors import VideoError
from runtimes.video.images import images_of
from runtimes.video.options import Chunk, VideoOptions
from runtimes.video.seal import seal
from runtimes.video.sink import StagedFile
from runtimes.video.source import SourceInfo
from runtimes.video.streams import tag_of

TAG = "ifrnet"
"""Container metadata key under which a part says where it belongs."""

_MARK = f'{{"{TAG}": '.encode()
"""How the files of empty parts begin."""

_LONGEST_TAG = 4096
"""Bytes of a file that can be the tag of an empty part."""


def part_suffix(encoder: str, *, alpha: bool = False) -> str:
    """Of parts made to be joined: NUT keeps times exact and is written as it goes; MOV has what it does not take, and
    Matroska the transparency of VP8 and VP9.

    Raises:
        VideoError: nothing takes the encoder.
    """
    for suffix in (".nut", ".mov", ".mkv"):
        if takes(suffix, encoder) and (keeps_alpha(suffix, encoder) or not alpha):
            return suffix
    raise VideoError(f"nothing that parts are made in takes {encoder}: pass another --encoder, or no --resume")


@dataclass(frozen=True, kw_only=True)
class PartTag:
    """What a part says of itself; times in seconds of the output.

    Attributes:
        job: fingerprint of everything that decides the frames.
        chunk: which part of how many.
        start: time of its first frame.
        unit: time base of the whole output.
        slowdown: maps source times to output times.
        color: matrix, primaries, transfer and 1 for full range; NUT does not store them.
        rate: frames a second for the header of the output, or 0.
        aspect: of a pixel, or 0; NUT and Matroska do not store it.
    """

    job: str
    chunk: Chunk
    start: Fraction
    unit: Fraction
    slowdown: Fraction
    color: tuple[int, ...] = ()
    rate: Fraction = Fraction(0)
    aspect: Fraction = Fraction(0)

    def to_metadata(self) -> dict[str, str]:
        """For the container."""
        told = {key: str(value) for key, value in vars(self).items()}
        return {TAG: json.dumps(told | {"color": " ".join(map(str, self.color))})}

    @classmethod
    def read(cls, metadata: Mapping[str, str], path: Path) -> PartTag:
        """Read it back.

        Raises:
            VideoError: not a part.
        """
        try:
            data = json.loads(tag_of(metadata, TAG) or "")
            times = {key: Fraction(data[key]) for key in ("start", "unit", "slowdown")}
            if times["unit"] <= 0 or times["slowdown"] <= 0:
                raise ValueError
            color = tuple(map(int, str(data.get("color", "")).split()))
            if len(color) not in (0, 4):
                raise ValueError
            rest = {key: Fraction(data.get(key, 0)) for key in ("rate", "aspect")}
            return cls(job=str(data["job"]), chunk=Chunk.parse(str(data["chunk"])), color=color, **times, **rest)
        except (KeyError, TypeError, ValueError, ArithmeticError, UsageError) as error:
            raise VideoError(f"{path} is not a part made with --chunk: it does not say where it belongs") from error

    def mark_empty(self, path: Path, *, force: bool) -> None:
        """Stand in for a part without frames, which no container can hold: a file of this tag alone.

        Raises:
            UsageError: the file exists.
        """
        file = StagedFile(path, force=force)
        try:
            file.staging.write_text(json.dumps(self.to_metadata()))
            seal(file.staging, 0, 0)
            file.finish()
        except BaseException:
            file.discard()
            raise

    @classmethod
    def read_empty(cls, path: Path) -> PartTag | None:
        """What :meth:`mark_empty` wrote, or None of any other file.

        Raises:
            VideoError: not a part.
        """
        with path.open("rb") as file:
            text = file.read(_LONGEST_TAG)
        if not text.startswith(_MARK):
            return None
        try:
            tags, _ = json.JSONDecoder().raw_decode(text.decode("utf-8", "replace"))
        except ValueError as error:
            raise VideoError(f"{path} is damaged: make that chunk again") from error
        return cls.read(tags, path)


def window(info: SourceInfo, chunk: Chunk | None) -> tuple[Fraction | None, Fraction | None]:
    """Source times that a chunk covers, half open; the first and the last are open to their sides.

    Raises:
        VideoError: the source does not say how long it is.
    """
    if chunk is None:
        return None, None
    length = _length(info)
    edges = [info.start + length * i / chunk.count for i in (chunk.index - 1, chunk.index)]
    return (None if chunk.index == 1 else edges[0]), (None if chunk.index == chunk.count else edges[1])


def count_parts(info: SourceInfo, seconds: float) -> int:
    """How many parts of about this many seconds there are.

    Raises:
        UsageError: no length.
        VideoError: the source does not say how long it is.
    """
    if not 0 < seconds < math.inf:  # nan is neither
        raise UsageError(f"parts of {seconds:g} seconds; expected more than 0, for example 30")
    return max(1, math.ceil(_length(info) / Fraction(seconds)))


def _length(info: SourceInfo) -> Fraction:
    if info.duration is None:
        raise VideoError(
            f"{info.name} does not say how long it is, so it cannot be cut into chunks: remux it (ffmpeg -c copy)"
        )
    return info.duration


def fingerprint(options: VideoOptions) -> str:
    """Changes with whatever changes the frames or how they are encoded."""
    path = Path(options.source)
    images = images_of(path)
    files = [path] if images is None else images
    manifest = read_manifest(options.infer.artifact)
    told: dict[str, Any] = {
        "source": [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files],
        "artifact": {name: entry["sha256"] for name, entry in manifest.files.items()},
        "infer": [options.infer.tta, options.infer.tile, options.infer.overlap],
        "timing": asdict(options.timing),
        "encode": asdict(options.encode) | {"options": dict(options.encode.options)},
        "rest": [options.input_rate, options.cut_threshold, options.dedup, options.deinterlace],
    }
    return hashlib.sha256(json.dumps(told, default=str, sort_keys=True).encode()).hexdigest()[:16]
