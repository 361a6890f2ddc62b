"""What one job of the video application is asked to do, frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from runtimes.contract import Size
from runtimes.errors import UsageError
from runtimes.video.encoders import EncodeOptions
from runtimes.video.other_streams import AudioMode
from runtimes.video.scenes import CUT_THRESHOLD
from runtimes.video.timeline import Timing

DEFAULT_OVERLAP = 64
"""Pixels that tiles share, to be larger than the motion."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Part ``index`` (from 1) of ``count`` equal stretches of time."""

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise UsageError(f"chunk {self.index}/{self.count}; expected i/n with 1 <= i <= n")

    @classmethod
    def parse(cls, text: str) -> Chunk:
        """Read ``2/8``.

        Raises:
            UsageError: another form.
        """
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal()):
            raise UsageError(f"chunk is {text!r}; expected i/n, for example 2/8")
        return cls(index=int(index), count=int(count))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True, kw_only=True)
class InferOptions:
    """How frames are made: ``devices`` (None for the artifact's default) share the work, with ``threads`` each."""

    artifact: Path
    devices: tuple[str | None, ...] = (None,)
    threads: int | None = None
    tta: bool = False
    tile: Size | None = None
    overlap: int = DEFAULT_OVERLAP


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """One job.

    Attributes:
        source: a file, a folder of images, or ``-`` for y4m on standard input.
        target: .mp4, .mkv, ..., .gif, .y4m, a folder or ``folder/name_%d.png``, or ``-`` for y4m on standard output.
        input_rate: of a folder of images; None is 24.
        cut_threshold: None blends across cuts.
        deinterlace: make whole pictures of interlaced ones first.
        dedup: replace repeated frames by interpolated ones.
        loop: go on from the last frame to the first, for what is shown again and again.
        start, end: source seconds from the first frame on, half open; the output begins at 0 then.
        chunk: make one part only, without other streams.
    """

    source: str
    target: str
    timing: Timing
    infer: InferOptions
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    input_rate: Fraction | None = None
    audio: AudioMode = AudioMode.COPY
    subtitles: bool = True
    cut_threshold: float | None = CUT_THRESHOLD
    dedup: bool = False
    deinterlace: bool = False
    loop: bool = False
    start: Fraction | None = None
    end: Fraction | None = None
    chunk: Chunk | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if self.loop and self.chunk is not None:
            raise UsageError(
                "--loop needs the first frame at the end: leave out --resume, --chunk, --ray and --dry-run"
            )
        if self.chunk is not None and (self.start is not None or self.end is not None):
            raise UsageError("--start and --end are for one run: leave out --resume, --chunk, --ray and --dry-run")
        if (self.start or 0) < 0 or (self.end is not None and self.end <= (self.start or 0)):
            raise UsageError("--start and --end enclose nothing; expected 0 <= start < end, in seconds of the source")
        if self.audio is AudioMode.STRETCH and self.timing.slowdown == 1:
            raise UsageError("--audio stretch belongs to --slowmo; sound is copied otherwise")
        if self.audio is AudioMode.COPY and self.timing.slowdown != 1:
            raise UsageError("sound cannot be copied into slow motion: pass --audio drop or --audio stretch")
