"""A long job in parts of bounded length, so that a killed one loses at most the part it was in."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from runtimes.atomic import beginning, remove_abandoned, temporary_name
from runtimes.errors import UsageError
from runtimes.video.concat import concat
from runtimes.video.containers import STDIN
from runtimes.video.encoders import ENCODERS
from runtimes.video.options import Chunk, VideoOptions
from runtimes.video.outputs import check_target, holds_alpha, open_source
from runtimes.video.parts import count_parts, fingerprint, part_suffix, window
from runtimes.video.pipeline import open_job
from runtimes.video.seal import is_whole, sealed_frames
from runtimes.video.sink import StagedFile, refuse_second_writer
from runtimes.video.source import SourceInfo
from runtimes.video.summary import Progress, Summary, total
from runtimes.video.workers import Workers, load_workers

Note = Callable[[str], None]

_OWNER = "job"
"""A temporary name of this in the folder of the parts says which process works there."""


def check_parts(options: VideoOptions) -> None:
    """Raises UsageError for an output or an input that cannot be worked on in parts."""
    if Path(options.target).suffix.lower() not in ENCODERS or options.source == STDIN:
        raise UsageError(f"work in parts needs a file as input and a video file ({', '.join(ENCODERS)}) as output")


def parts_folder(options: VideoOptions) -> Path:
    """Where the parts of a job lie until they are joined; named by what decides them, so that jobs do not mix.

    Raises:
        UsageError: see :func:`check_parts`.
    """
    check_parts(options)
    target = Path(options.target)
    return target.with_name(f"{beginning(target.name)}.parts-{fingerprint(options)}")


def remove_stale_parts(target: Path, note: Note) -> None:
    """Remove what dead jobs for the same output, with other settings, left unfinished."""
    pattern = re.compile(re.escape(beginning(target.name)) + r"\.parts-[0-9a-f]{16}")
    for folder in list(target.parent.iterdir()):
        if not pattern.fullmatch(folder.name) or not folder.is_dir():
            continue
        remove_abandoned(folder / _OWNER)
        if not list(folder.glob(f".{_OWNER}.*")):
            shutil.rmtree(folder, ignore_errors=True)
            note(f"{folder} is removed: it had parts of another job for {target}, which did not end")


def part_options(options: VideoOptions, chunk: Chunk, folder: Path, *, alpha: bool) -> VideoOptions:
    """The job of one part; ``alpha`` says that frames keep their transparency."""
    encoder = options.encode.encoder_for(Path(options.target))
    path = folder / f"{chunk.index:05d}-of-{chunk.count:05d}{part_suffix(encoder, alpha=alpha)}"
    encode = replace(options.encode, encoder=encoder)
    return replace(options, target=str(path), chunk=chunk, encode=encode, force=True)


def join(options: VideoOptions, parts: Sequence[VideoOptions], info: SourceInfo, note: Note) -> None:
    """Join finished parts into the target, with the source's other streams, and remove them."""
    target = Path(options.target)
    concat(
        [Path(part.target) for part in parts],
        target,
        source=info.path,
        audio=options.audio,
        subtitles=options.subtitles,
        force=options.force,
        note=note,
    )
    shutil.rmtree(Path(parts[0].target).parent)
    remove_stale_parts(target, note)


@contextmanager
def prepared(options: VideoOptions, info: SourceInfo, seconds: float) -> Iterator[list[VideoOptions]]:
    """Check the output and make the folder of the parts. The jobs of all parts, in order.

    Until the end, no other job on this machine can work on the same output.

    Raises:
        UsageError: the output exists, another job is writing it, or a length that no part can have.
        VideoError: the source does not say how long it is.
    """
    check_target(options)
    count, folder = count_parts(info, seconds), parts_folder(options)
    alpha = info.alpha and holds_alpha(options)
    parts = [part_options(options, Chunk(index=i, count=count), folder, alpha=alpha) for i in range(1, count + 1)]
    claim = StagedFile(Path(options.target), force=options.force)
    try:
        refuse_second_writer(claim.staging, claim.final)
        folder.mkdir(exist_ok=True)
        remove_abandoned(folder / _OWNER)
        owner = temporary_name(folder / _OWNER)
        owner.touch()
        try:
            yield parts
        finally:
            owner.unlink(missing_ok=True)
    finally:
        claim.discard()


def missing_parts(parts: Sequence[VideoOptions], note: Note) -> list[VideoOptions]:
    """Those that are not there, or whose bytes are not the ones that were written."""
    missing = []
    for part in parts:
        path = Path(part.target)
        if is_whole(path):
            continue
        if path.exists():
            note(f"{path} is damaged, and is made again")
        missing.append(part)
    if len(missing) < len(parts):
        note(f"{len(parts) - len(missing)} of {len(parts)} parts are there already")
    return missing


def run_in_parts(
    options: VideoOptions,
    seconds: float,
    *,
    note: Note,
    progress: Callable[[Progress], None],
    stop: threading.Event,
) -> Summary | None:
    """Make the parts that are not there yet, then join all. None when stopped before the end: the parts are kept.

    Raises:
        RuntimesError: see :func:`runtimes.video.pipeline.open_job` and :func:`runtimes.video.concat.concat`.
    """
    with ExitStack() as stack:
        first = open_source(options, note)
        stack.callback(first.close)
        parts = stack.enter_context(prepared(options, first.info, seconds))
        missing = missing_parts(parts, note)
        names = {part.target for part in missing}
        kept = [part for part in parts if part.target not in names]
        frames_kept = sum(sealed_frames(Path(part.target)) for part in kept)
        scale = _Scale(first.info, kept, progress, frames_kept)
        workers = load_workers(options.infer, stack) if missing else None
        done: list[Summary] = []
        for part in missing:
            summary = _make(part, scale, workers, note if not done else _quiet, stop)
            if summary is None or stop.is_set():
                return None
            done.append(summary)
            scale.add(part, summary)
        join(options, parts, first.info, note)
    return total(done, frames_kept)


def _make(
    part: VideoOptions, scale: _Scale, workers: Workers | None, note: Note, stop: threading.Event
) -> Summary | None:
    """One part; None when stopped in it. What the first part had to say holds for all."""
    try:
        with ExitStack() as stack:
            return open_job(part, stack, note=note, progress=scale, stop=stop, workers=workers).run()
    except KeyboardInterrupt:
        if not stop.is_set():
            raise
        return None


def _quiet(_: str) -> None:
    """For notes that were given already."""


class _Scale:
    """Progress of one part -> progress of the job."""

    def __init__(
        self, info: SourceInfo, kept: Sequence[VideoOptions], progress: Callable[[Progress], None], frames: int
    ) -> None:
        self._info, self._progress, self._frames = info, progress, frames
        self._before = self._done = sum((self._length(part) for part in kept), Fraction(0))

    def _length(self, part: VideoOptions) -> Fraction:
        """Source seconds of a part."""
        begin, end = window(self._info, part.chunk)
        assert self._info.duration is not None
        return (end or self._info.start + self._info.duration) - (begin or self._info.start)

    def add(self, part: VideoOptions, summary: Summary) -> None:
        """A part is done."""
        self._done += self._length(part)
        self._frames += summary.frames_out

    def __call__(self, progress: Progress) -> None:
        self._progress(
            Progress(
                frames_out=self._frames + progress.frames_out,
                done=self._done + progress.done,
                before=self._before,
                total=self._info.duration,
            )
        )
