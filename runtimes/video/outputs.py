"""Which source and which sink a name stands for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

from av.video.format import VideoFormat

from runtimes.errors import UsageError
from runtimes.video.animation import AnimatedWebp, is_webp
from runtimes.video.color import HDR_TRANSFERS, WIDE_PRIMARIES, bit_depth, has_alpha
from runtimes.video.containers import STDIN, one_line
from runtimes.video.encode import VideoSink
from runtimes.video.encoders import ENCODERS, EncodeOptions, check_container, keeps_alpha
from runtimes.video.gif import GifSink
from runtimes.video.images import ImageFolder, ImageSink, images_of, split_pattern
from runtimes.video.options import VideoOptions
from runtimes.video.other_streams import OtherStreamOptions, OtherStreams
from runtimes.video.pixel_formats import WITH_ALPHA
from runtimes.video.sink import STDOUT, OutputFormat, Sink
from runtimes.video.source import Source, SourceInfo, VideoSource
from runtimes.video.stills import SUFFIXES
from runtimes.video.timeline import output_unit
from runtimes.video.y4m import Y4mSink

Note = Callable[[str], None]

DEFAULT_INPUT_RATE = Fraction(24)
"""Frames a second of a folder of images unless told otherwise."""


def open_source(options: VideoOptions, note: Note) -> Source:
    """Open a file, a folder or a numbered pattern of images, or standard input.

    Raises:
        UsageError: options that do not fit the kind of source.
        VideoError: see the sources.
    """
    path, input_rate = options.source, options.input_rate
    images = None if path == STDIN else images_of(Path(path))
    if options.deinterlace and images is not None:
        raise UsageError("--deinterlace is for videos; images are whole pictures: leave it out")
    if images is not None:
        input_rate = input_rate or DEFAULT_INPUT_RATE
        note(f"{path} is read at {float(input_rate):g} frames a second (--input-fps)")
        return ImageFolder(Path(path), images, input_rate)
    if input_rate is not None:
        raise UsageError(f"--input-fps is for folders of images; {path} has times of its own")
    if path != STDIN and Path(path).is_file() and is_webp(Path(path)):
        return AnimatedWebp(Path(path))
    with one_line(f"{path} cannot be read as a video"):
        return VideoSource(path, note, deinterlace=options.deinterlace)


def check_target(options: VideoOptions) -> None:
    """Refuse, before any work, an output that would replace the input, is closed or is of no known kind.

    Raises:
        UsageError: one of these.
        VideoError: the container does not take the encoder.
    """
    target, source = Path(options.target), Path(options.source)
    if (options.target == STDOUT or target.suffix.lower() not in ENCODERS) and options.encode != EncodeOptions():
        raise UsageError(f"--encoder and its options are for {', '.join(ENCODERS)}; {target} has none: leave them out")
    if options.target == STDOUT:
        if sys.stdout is None:
            raise UsageError("standard output is closed: pipe it to what reads y4m, or name a file")
        return
    suffix = target.suffix.lower()
    replaced = split_pattern(target)[0] if suffix in SUFFIXES else target
    inputs = (source, *source.resolve().parents) if source.exists() or "%" in source.name else ()
    if replaced.exists() and any(path.exists() and replaced.samefile(path) for path in inputs):
        raise UsageError(f"{replaced} is the input or holds it: name another output")
    if options.chunk is not None and suffix not in ENCODERS:
        raise UsageError(f"{target} cannot be joined later: chunks go to {', '.join(ENCODERS)}")
    if suffix not in ENCODERS and suffix not in (".gif", ".y4m", "", *SUFFIXES):
        raise UsageError(
            f"{target} does not end in {', '.join(ENCODERS)}, .gif or .y4m, and is no folder: name one of those"
        )
    if suffix in SUFFIXES and "%" not in target.name:
        raise UsageError(f"{target} is one image: name a folder, or number them with {target.stem}_%06d{suffix}")
    if suffix in ENCODERS:
        encoder = options.encode.encoder_for(target)
        options.encode.codec_options(encoder)
        check_container(target, encoder)


def output_format_of(info: SourceInfo, options: VideoOptions, snapped: Fraction | None) -> OutputFormat:
    """What the output gets to know; ``snapped`` is the rate that source times were put on, if any."""
    return OutputFormat(
        size=info.size,
        native=info.pixel_format,
        color=info.color,
        rate=options.timing.rate(info.rate),
        nominal=options.timing.rate(info.nominal) or Fraction(25),
        unit=output_unit(options.timing, info.start, info.tick, snapped),
        origin=info.start * options.timing.slowdown,
        aspect=info.aspect,
        extras=info.extras,
        alpha=info.alpha and holds_alpha(options),
    )


def holds_alpha(options: VideoOptions) -> bool:
    """Whether the output can hold transparency."""
    target = Path(options.target)
    suffix = "" if options.target == STDOUT else target.suffix.lower()
    if suffix not in ENCODERS:
        return options.target != STDOUT and suffix not in (".y4m", ".jpg", ".jpeg")
    encoder = options.encode.encoder_for(target)
    chosen = options.encode.pixel_format
    return encoder in WITH_ALPHA and keeps_alpha(suffix, encoder) and (chosen is None or has_alpha(VideoFormat(chosen)))


def _unsaid(output_format: OutputFormat, *, holds_aspect: bool, holds_profile: bool) -> list[str]:
    """What an output of pictures alone does not say of a video."""
    color, aspect = output_format.color, output_format.aspect
    names = output_format.extras.losses(None, holds_profile=holds_profile)
    if aspect is not None and aspect != 1 and not holds_aspect:
        names.append(f"the shape of its pixels ({aspect.numerator}:{aspect.denominator})")
    if color.transfer in HDR_TRANSFERS:
        names.append(f"that it is HDR ({HDR_TRANSFERS[color.transfer]})")
    if color.primaries == WIDE_PRIMARIES:
        names.append("that its colours are BT.2020")
    return names


def open_sink(
    options: VideoOptions, output_format: OutputFormat, info: SourceInfo, note: Note, tags: Mapping[str, str]
) -> Sink:
    """Open the output.

    Raises:
        UsageError, VideoError: see the sinks.
    """
    suffix = "" if options.target == STDOUT else Path(options.target).suffix.lower()
    if suffix not in ENCODERS:
        if info.path is not None and not info.pixel_format.startswith(("bgra", "pal8")):
            note("this output holds pictures only: sound and other streams are not carried over")
        raw = suffix == ".y4m" or options.target == STDOUT
        if lost := _unsaid(output_format, holds_aspect=raw, holds_profile=not raw and suffix != ".gif"):
            note(f"this output cannot say {', '.join(lost)}: left out")
        if suffix == ".gif":
            return GifSink(Path(options.target), output_format, force=options.force)
        if raw:
            return Y4mSink(options.target, output_format, force=options.force)
        deep = bit_depth(output_format.native_format) > 8
        profile = output_format.extras.profile
        return ImageSink(Path(options.target), deep=deep, force=options.force, profile=profile)
    other_streams = None
    if info.path is not None and options.chunk is None:
        other_streams = OtherStreams(
            OtherStreamOptions(
                path=info.path,
                audio=options.audio,
                subtitles=options.subtitles,
                slowdown=options.timing.slowdown,
                shift=output_format.shift,
                end=None
                if options.end is None
                else (info.start + options.end) * options.timing.slowdown - output_format.shift,
            ),
            note,
        )
    return VideoSink(
        Path(options.target),
        output_format,
        options.encode,
        force=options.force,
        note=note,
        other_streams=other_streams,
        tags=tags,
    )
