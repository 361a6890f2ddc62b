"""How long a job would take and how large its file would be, by doing the first seconds of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from runtimes.video.encoders import ENCODERS, EncodeOptions
from runtimes.video.options import Chunk, VideoOptions
from runtimes.video.parts import count_parts, part_suffix
from runtimes.video.pipeline import open_job
from runtimes.video.source import Source

SAMPLE_SECONDS = 2.0
"""Source seconds that are done for it."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Of a whole job. ``bytes`` is of the video stream, None for outputs that are no video files."""

    frames: int
    seconds: float
    bytes: int | None

    def __str__(self) -> str:
        size = "" if self.bytes is None else f" and {self.bytes / 1e6:.3g} MB of video"
        return (
            f"about {self.frames} frames in {timedelta(seconds=round(self.seconds))}{size}, "
            f"by the first {SAMPLE_SECONDS:g} s"
        )


def estimate(options: VideoOptions, source: Source, note: Callable[[str], None]) -> Estimate:
    """Do the first part of a job into a temporary file, and count that for all parts. Nothing is left.

    Raises:
        VideoError: the source does not say how long it is.
        RuntimesError: what the job itself would raise at its beginning.
    """
    count = count_parts(source.info, SAMPLE_SECONDS)
    is_video = Path(options.target).suffix.lower() in ENCODERS
    encode = EncodeOptions(encoder="rawvideo")
    if is_video:
        encode = replace(options.encode, encoder=options.encode.encoder_for(Path(options.target)))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder, f"sample{part_suffix(encode.encoder or '')}")
        sample = replace(options, target=str(path), encode=encode, chunk=Chunk(index=1, count=count))
        summary = open_job(sample, stack, note=note, source=source).run()
        size = path.stat().st_size
    return Estimate(
        frames=summary.frames_out * count, seconds=summary.seconds * count, bytes=size * count if is_video else None
    )
