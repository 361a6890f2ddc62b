"""A long job in parts of bounded length, so that a killed one loses at most the part it was in."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from runtimes.errors import UsageError
from runtimes.video.concat import concat
from runtimes.video.encode import ENCODERS
from runtimes.video.options import Chunk, VideoOptions
from runtimes.video.outputs import check_target, open_source
from runtimes.video.parts import SUFFIX, count_parts, fingerprint
from runtimes.video.pipeline import open_job
from runtimes.video.sink import StagedFile
from runtimes.video.source import STDIN, SourceInfo
from runtimes.video.summary import Progress, Summary, total
from runtimes.video.workers import load_workers

PART_SECONDS = 30.0
"""Source seconds of a part unless told otherwise."""


def parts_folder(options: VideoOptions) -> Path:
    """Where the parts of a job lie until they are joined; named by what decides them, so that jobs do not mix.

    Raises:
        UsageError: the output or the input cannot be worked on in parts.
    """
    target = Path(options.target)
    if target.suffix.lower() not in ENCODERS or options.source == STDIN:
        raise UsageError(f"work in parts needs a file as input and a video file ({', '.join(ENCODERS)}) as output")
    return target.with_name(f"{target.name}.parts-{fingerprint(options)}")


def part_options(options: VideoOptions, chunk: Chunk) -> VideoOptions:
    """The job of one part."""
    path = parts_folder(options) / f"{chunk.index:05d}-of-{chunk.count:05d}{SUFFIX}"
    encode = replace(options.encode, encoder=options.encode.encoder_for(Path(options.target)))
    return replace(options, target=str(path), chunk=chunk, encode=encode, force=True)


def join(options: VideoOptions, parts: list[VideoOptions], note: Callable[[str], None]) -> None:
    """Join finished parts into the target, with the source's other streams, and remove them."""
    source = Path(options.source)
    concat(
        [Path(part.target) for part in parts],
        Path(options.target),
        source=None if source.is_dir() else source,
        audio=options.audio,
        subtitles=options.subtitles,
        force=options.force,
        note=note,
    )
    shutil.rmtree(parts_folder(options))


def prepare(options: VideoOptions, info: SourceInfo, seconds: float) -> list[VideoOptions]:
    """Check the output and make the folder of the parts. The jobs of all parts, in order.

    Raises:
        UsageError: the output exists, or a length that no part can have.
        VideoError: the source does not say how long it is.
    """
    check_target(options)
    count = count_parts(info, seconds)
    parts = [part_options(options, Chunk(index=i, count=count)) for i in range(1, count + 1)]
    StagedFile(Path(options.target), force=options.force).discard()
    parts_folder(options).mkdir(exist_ok=True)
    return parts


def run_in_parts(
    options: VideoOptions,
    seconds: float,
    *,
    note: Callable[[str], None],
    progress: Callable[[Progress], None],
    stop: threading.Event,
) -> Summary | None:
    """Make the parts that are not there yet, then join all. None when stopped before the end: the parts are kept.

    Raises:
        RuntimesError: see :func:`runtimes.video.pipeline.open_job` and :func:`runtimes.video.concat.concat`.
    """
    done: list[Summary] = []
    with ExitStack() as stack:
        first = open_source(options.source, options.input_rate, note)
        stack.callback(first.close)
        parts = prepare(options, first.info, seconds)
        missing = [part for part in parts if not Path(part.target).exists()]
        if len(missing) < len(parts):
            note(f"{len(parts) - len(missing)} of {len(parts)} parts are there already")
        workers = load_workers(options.infer, stack) if missing else None
        for part in missing:
            try:
                with ExitStack() as inner:
                    silent = inner_note(note, quiet=bool(done))
                    done.append(open_job(part, inner, note=silent, progress=progress, stop=stop, workers=workers).run())
            except KeyboardInterrupt:
                if not stop.is_set():
                    raise
            if stop.is_set():
                return None
    join(options, parts, note)
    return total(done) if done else None


def inner_note(note: Callable[[str], None], *, quiet: bool) -> Callable[[str], None]:
    """What the first part had to say holds for all."""
    return (lambda _: None) if quiet else note
