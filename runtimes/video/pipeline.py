"""The job: decode, prepare, infer, finish and encode side by side, in order, in bounded memory.

decode (thread) -> prepare RGB and plan (thread) -> infer (a thread a device) -> convert (thread) -> encode (caller)
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from runtimes.artifact import read_manifest
from runtimes.frames import Array
from runtimes.video.cadence import Regularizer
from runtimes.video.color import Converter, seconds
from runtimes.video.containers import one_line
from runtimes.video.errors import VideoError
from runtimes.video.options import Chunk, VideoOptions
from runtimes.video.outputs import check_target, holds_alpha, open_sink, open_source, output_format_of
from runtimes.video.parts import PartTag, fingerprint, window
from runtimes.video.plan import Picture, Planner, Rules
from runtimes.video.scenes import Thumbnail, thumbnail_size
from runtimes.video.sink import OutputFormat, Sink
from runtimes.video.source import Source, SourceFrame, SourceInfo, is_transparent
from runtimes.video.stages import Crew
from runtimes.video.summary import Progress, Summary
from runtimes.video.timeline import Slot, check_timing
from runtimes.video.workers import SlotPicture, Workers, load_workers

DEPTH = 2
"""Frames or segments that wait in each queue: enough to keep all stages busy, and all the memory there is."""


@dataclass(kw_only=True)
class Job:
    """An opened job: the artifact is loaded, the source is open, and nothing has been written.

    ``note`` receives lines for the user, ``progress`` is called after each frame, ``stop`` ends the job early, with a
    playable output. A chunk that it cuts short is not kept, since it would pass for whole.
    """

    options: VideoOptions
    source: Source
    workers: Workers
    note: Callable[[str], None]
    progress: Callable[[Progress], None]
    stop: threading.Event

    def run(self) -> Summary:
        """Do it.

        Raises:
            VideoError, UsageError, TimestepError, BackendError, OSError: nothing is left behind.
            KeyboardInterrupt: ``stop`` came before there was anything to keep; nothing is left behind.
        """
        info = self.source.info
        check_timing(self.options.timing, self.workers.timesteps, info.rate)
        if info.alpha:
            kept = "is kept: the network runs twice for frames with transparent pixels, over colours and over alpha"
            lost = "is left out: .webm, --encoder prores_ks (.mov), ffv1 (.mkv), .gif and folders of .png keep it"
            self.note(f"{info.name} has transparency, which {kept if self.alpha else lost}")
        planner = Planner(self._rules(info), info.name)
        inferred, spent = self.workers.spent
        start = time.perf_counter()
        with Crew() as crew, one_line(f"{info.name} to {self.options.target} failed in FFmpeg"):
            frames_out, end = self._work(crew, planner)
        return Summary(
            frames_in=planner.frames,
            frames_out=frames_out,
            inferred=self.workers.spent[0] - inferred,
            cuts=planner.cuts,
            duplicates=planner.duplicates,
            seconds=time.perf_counter() - start,
            infer_seconds=self.workers.spent[1] - spent,
            devices=len(self.workers.all),
            end=float(end),
            complete=not self.stop.is_set(),
        )

    @property
    def alpha(self) -> bool:
        """Whether frames keep their transparency."""
        return self.source.info.alpha and holds_alpha(self.options)

    def _rules(self, info: SourceInfo) -> Rules:
        since, until = window(info, self.options.chunk)
        if self.options.start is not None:
            since = info.start + self.options.start
        if self.options.end is not None:
            until = info.start + self.options.end
        return Rules(
            timing=self.options.timing,
            timesteps=self.workers.timesteps,
            origin=info.start,
            rate=info.rate,
            cut_threshold=self.options.cut_threshold,
            dedup=self.options.dedup,
            loop=self.options.loop,
            since=since,
            until=until,
        )

    def _work(self, crew: Crew, planner: Planner) -> tuple[int, Fraction]:
        """Build the stages and run the last one here. Returns frames written, and the output time they end at,
        from the first frame of the job on."""
        info, rules = self.source.info, planner.rules
        regular = Regularizer(info.grid, info.tick, info.start)
        decoded = crew.stage(self.source.frames(rules.read_since), DEPTH)
        planned = crew.stage(planner.plan(self._prepare(decoded, regular)), DEPTH)
        first = next(planned, None)
        if first is None and self.options.chunk is None:
            raise VideoError(f"{info.name} has no frames between --start and --end")
        if first is None:
            self._mark_empty(rules, regular)
            return 0, Fraction(0)
        sink = self._open_sink(first.slots[0].time, regular)
        try:
            inferred = crew.parallel(itertools.chain([first], planned), self.workers.all, DEPTH)
            ready = crew.stage(self._convert(inferred, sink.pixel_format), DEPTH)
            count, end = self._encode(ready, sink, rules)
            if self.stop.is_set() and (count == 0 or self.options.chunk is not None):
                raise KeyboardInterrupt
            sink.finish(whole=not self.stop.is_set() and self.options.end is None)
        except BaseException:
            sink.discard()
            raise
        begin = first.slots[0].time if self.options.chunk is None else info.start * rules.timing.slowdown
        return count, end - begin

    def _open_sink(self, first: Fraction, regular: Regularizer) -> Sink:
        """``first`` is the output time of the first frame; a part begins there."""
        info = self.source.info
        output_format = output_format_of(info, self.options, regular.rate)
        tags: dict[str, str] = {}
        if self.options.chunk is not None:
            output_format = replace(output_format, origin=first, shift=first)
            tags = self._tag(self.options.chunk, output_format).to_metadata()
        elif self.options.start is not None:
            output_format = replace(output_format, origin=first, shift=first)
        return open_sink(self.options, output_format, info, self.note, tags)

    def _tag(self, chunk: Chunk, output_format: OutputFormat) -> PartTag:
        color = output_format.color
        return PartTag(
            job=fingerprint(self.options),
            chunk=chunk,
            start=output_format.origin,
            unit=output_format.unit,
            slowdown=self.options.timing.slowdown,
            color=(*(int(x) for x in (color.matrix, color.primaries, color.transfer)), int(color.full)),
            rate=output_format.declared,
            aspect=output_format.aspect or Fraction(0),
        )

    def _mark_empty(self, rules: Rules, regular: Regularizer) -> None:
        """A chunk inside a pause, or behind the last frame of a file that declares to be longer."""
        info, chunk = self.source.info, self.options.chunk
        assert chunk is not None
        assert rules.since is not None
        output_format = output_format_of(info, self.options, regular.rate)
        tag = self._tag(chunk, replace(output_format, origin=rules.since * rules.timing.slowdown))
        tag.mark_empty(Path(self.options.target), force=self.options.force)
        self.note(
            f"{info.name} has no frames in chunk {chunk}: {self.options.target} tells concat so, and does not play"
        )

    def _encode(self, ready: Iterable[tuple[Slot, Any]], sink: Sink, rules: Rules) -> tuple[int, Fraction]:
        info = self.source.info
        begin = rules.since or info.start
        last = rules.until or (None if info.duration is None else info.start + info.duration)
        length = None if last is None else last - begin
        count, end = 0, info.start * rules.timing.slowdown
        for slot, picture in ready:
            if self.stop.is_set():
                break
            sink.write(picture, slot.time, slot.duration)
            count, end = count + 1, slot.time + slot.duration
            self.progress(Progress(frames_out=count, done=slot.source - begin, total=length))
        return count, end

    def _prepare(self, frames: Iterable[SourceFrame], regular: Regularizer) -> Iterator[Picture]:
        """RGB once for each frame, and a small picture to judge cuts and duplicates by."""
        converter, small = Converter(self.source.info.color), Converter(self.source.info.color)
        judge = self.options.cut_threshold is not None or self.options.dedup
        width, height = thumbnail_size(self.source.info.size)
        opaque = self.source.info.pixel_format == "bgra" and not self.source.info.alpha
        for frame in frames:
            if frame.native is not None:
                if opaque and is_transparent(frame.native):
                    self.note(f"{self.source.info.name} turns transparent at {seconds(frame.time)}, which is left out")
                    opaque = False
                rgb = converter.to_rgb(frame.native, alpha=self.alpha)
            else:
                assert frame.rgb is not None
                rgb = frame.rgb if self.alpha else np.ascontiguousarray(frame.rgb[..., :3])
            thumbnail = None
            if judge:
                if frame.native is None or self.alpha:
                    thumbnail = Thumbnail.of(_shrink(rgb, width, height))
                else:
                    thumbnail = Thumbnail.of(small.thumbnail(frame.native, width, height))
            yield Picture(
                time=regular(frame.time), duration=frame.duration, rgb=rgb, native=frame.native, thumbnail=thumbnail
            )

    def _convert(self, groups: Iterable[Sequence[SlotPicture]], pixel_format: str | None) -> Iterator[tuple[Slot, Any]]:
        """To what the sink takes. A source frame in the sink's own format goes through untouched."""
        converter = Converter(self.source.info.color)
        for group in groups:
            for shown in group:
                picture = shown.picture
                if pixel_format is None:
                    yield shown.slot, picture.rgb if isinstance(picture, Picture) else picture
                elif isinstance(picture, Picture) and picture.native is not None:
                    yield shown.slot, converter.reformat(picture.native, pixel_format)
                else:
                    rgb = picture.rgb if isinstance(picture, Picture) else picture
                    yield shown.slot, converter.from_rgb(rgb, pixel_format)


def _shrink(rgb: Array, width: int, height: int) -> Array:
    from PIL import Image

    eight = rgb if rgb.dtype == "uint8" else (rgb >> 8).astype("uint8")
    if rgb.shape[2] == 4:  # what shows: under a transparent pixel lies anything
        eight = (eight[..., :3] * (eight[..., 3:] / np.float32(255))).astype("uint8")
    return np.asarray(Image.fromarray(eight).resize((width, height), Image.Resampling.BOX))


def open_job(
    options: VideoOptions,
    stack: ExitStack,
    *,
    note: Callable[[str], None],
    progress: Callable[[Progress], None] = lambda _: None,
    stop: threading.Event | None = None,
    source: Source | None = None,
    workers: Workers | None = None,
) -> Job:
    """Check what can be checked, then open the source and load the artifact unless given; what it opens closes with
    ``stack``.

    Raises:
        RuntimesError: one line that says what to change.
    """
    check_target(options)
    if source is None:
        source = open_source(options, note)
        stack.callback(source.close)
    if workers is None:
        if options.infer.tile is None:
            read_manifest(options.infer.artifact).sizes.check(source.info.size)
        workers = load_workers(options.infer, stack)
    return Job(
        options=replace(options, timing=options.timing.settled(source.info.rate)),
        source=source,
        workers=workers,
        note=note,
        progress=progress,
        stop=stop or threading.Event(),
    )
