"""``python -m runtimes video in.mp4 out.mp4``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from runtimes.atomic import is_taken
from runtimes.cli import INTERRUPTED, Parser, frame_size
from runtimes.commands.common import notes
from runtimes.commands.shipped import add_artifact, chosen
from runtimes.commands.watch import interruptible, watching
from runtimes.contract import Size
from runtimes.errors import UsageError
from runtimes.printable import note
from runtimes.video.errors import require_video_packages

if TYPE_CHECKING:
    from runtimes.video.options import VideoOptions
    from runtimes.video.summary import Summary

EPILOG = """\
inputs: a video file, a GIF, an animated WebP, a folder of .png/.jpg/.webp or folder/f_%03d.png, or - for y4m on
standard input.
outputs: .mp4 .mkv .mov .webm .nut, .gif, .y4m, a folder or folder/name_%06d.png, or - for y4m on standard output.
exit codes: 0 done, 1 the request cannot be met (nothing is left behind), 130 stopped by Ctrl-C
(what was done plays; a chunk cut short is not kept).

examples:
  python -m runtimes video in.mp4 out.mp4
  python -m runtimes video in.mp4 out.mp4 --artifact artifacts/ifrnet_s-openvino-fp32-1280x720
  python -m runtimes video in.mp4 out.mkv --fps 60 --encoder libx265 --crf 20
  python -m runtimes video in.mp4 slow.mp4 --slowmo 4 --audio stretch
  ffmpeg -i in.mp4 -f yuv4mpegpipe - | python -m runtimes video - - | ffmpeg -i - out.mp4
"""


def ratio(text: str) -> Fraction:
    """A number or a ratio, for argparse."""
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is no number; expected for example 2, 2.5 or 5/2") from None


def moment(text: str) -> Fraction:
    """``90``, ``1:30`` or ``0:01:30.5`` in seconds, for argparse."""
    try:
        parts = [Fraction(part) for part in text.split(":")]
    except (ValueError, ZeroDivisionError):
        parts = []
    if not 1 <= len(parts) <= 3 or min(parts) < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; expected for example 90, 1:30 or 0:01:30.5")
    seconds = Fraction(0)
    for part in parts:
        seconds = 60 * seconds + part
    return seconds


def parser() -> Parser:
    """The command line. Defaults are named in the help; what they are is decided in the options."""
    result = Parser(
        prog="python -m runtimes video",
        description="Interpolate a video: exact timing, original frames untouched, sound kept.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("input", nargs="+", help="video to read; several, or a folder of videos, go to a folder")
    result.add_argument("output", help="video to write, or the folder for several")
    _timing(result.add_argument_group("timing"))
    _network(result.add_argument_group("network"))
    _encoding(result.add_argument_group("encoding and other streams"))
    _work(result.add_argument_group("long jobs"))
    result.add_argument(
        "--dry-run", action="store_true", help="do the first 2 s only, write nothing, and say what all would take"
    )
    result.add_argument("--force", action="store_true", help="replace the output")
    result.add_argument("--stats", type=Path, metavar="FILE", help="write what was done and how fast, as JSON")
    return result


def _timing(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--factor", type=ratio, help="output frames for each source frame (default: 2; 2.5 or 5/2 at a constant rate)")
    add("--fps", help="output frames a second: 60, 24000/1001, 59.94 (taken as 60000/1001), ...")
    add("--slowmo", type=ratio, default=Fraction(1), help="times slower, 1.5 too; alone it keeps the frame rate")
    add("--input-fps", help="frame rate of a folder of images (default: 24)")
    add("--scene-threshold", type=float, default=27.0, help="a larger change is a cut, and not blended (default: 27)")
    add("--no-scene-cuts", action="store_true", help="blend across cuts too")
    add("--start", type=moment, help="begin here: seconds or h:mm:ss of the source")
    add("--end", type=moment, help="end before this: seconds or h:mm:ss of the source")
    add("--loop", action="store_true", help="interpolate from the last frame to the first too, for GIFs that loop")
    add("--deinterlace", action="store_true", help="make whole pictures of interlaced ones (FFmpeg's bwdif)")
    add(
        "--dedup",
        action="store_true",
        help="replace repeated frames (pulldown, animation on twos) by interpolated ones",
    )


def _network(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add_artifact(group)
    add("--export", action="store_true", help="export another artifact when this one has another size")
    add("--device", action="append", help="for example cpu, cuda:0; repeat to share the work (default: the backend's)")
    add("--threads", type=int, help="CPU threads of each device (default: the backend's)")
    add("--tta", action="store_true", help="average over flips and the reversal of time: better, at 8 times the cost")
    add(
        "--tile",
        type=frame_size,
        metavar="WxH",
        help="work on tiles of this size, where memory is short; a note tells the cost",
    )
    add("--overlap", type=int, default=64, help="pixels that tiles share (default: %(default)s)")


def _encoding(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--encoder", help="FFmpeg encoder (default: libx264; libvpx-vp9 for .webm)")
    add("--crf", type=float, help="quality, smaller is better (default: 18 for libx264, 20 libx265, 24 libvpx-vp9)")
    add("--preset", help="the encoder's speed preset")
    add("--pix-fmt", help="pixel format (default: the source's, where the encoder has it)")
    add("--encoder-option", action="append", default=[], metavar="NAME=VALUE", help="any other option; repeatable")
    add("--audio", choices=("copy", "drop", "stretch"), help="default: copy; drop with --slowmo")
    add("--no-subtitles", action="store_true", help="leave subtitles out")


def _work(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--resume",
        action="store_true",
        help="work in parts beside the output; the same command goes on where one ended",
    )
    add("--part-seconds", type=float, default=30.0, help="length of these parts (default: %(default)g s of the source)")
    add("--chunk", metavar="I/N", help="make one of N parts only, for concat; all of it or nothing")
    add("--ray", metavar="ADDRESS", help="share the parts out over a Ray cluster ('local' starts one here)")


def main(arguments: Sequence[str]) -> int:
    """Parse and work; returns the exit code."""
    args = parser().parse_args(arguments)
    require_video_packages()
    if sum((args.resume, args.chunk is not None, args.ray is not None)) > 1:
        raise UsageError("--resume, --chunk and --ray are three ways to cut a job into parts: pass one of them")
    from runtimes.commands.batch import jobs_of, run_all

    jobs = jobs_of(args.input, args.output)
    if len(jobs) > 1 and (args.stats is not None or args.chunk is not None):
        raise UsageError("--stats and --chunk belong to one video: leave them out for several")
    with notes():
        if jobs == [(args.input[0], args.output)]:
            return _run(args, _options(args, *jobs[0]))
        return run_all(jobs, lambda source, target: _run(args, _options(args, source, target)))


def _options(args: argparse.Namespace, source: str, target: str) -> VideoOptions:
    from runtimes.video.encoders import EncodeOptions
    from runtimes.video.options import Chunk, InferOptions, VideoOptions
    from runtimes.video.other_streams import AudioMode
    from runtimes.video.timeline import Timing, parse_rate

    if args.factor is not None and args.fps is not None:
        raise UsageError("--factor and --fps exclude each other: pass one of them")
    slowdown: Fraction = args.slowmo
    fps = None if args.fps is None else parse_rate(args.fps)
    factor: Fraction | None = args.factor
    if factor is None and fps is None:
        factor = slowdown if slowdown > 1 else Fraction(2)
    audio = AudioMode(args.audio or ("copy" if slowdown == 1 else "drop"))
    if args.audio is None and slowdown != 1:
        note("slow motion drops the sound; pass --audio stretch to keep it, slower at the same pitch")
    pairs = [item.partition("=") for item in args.encoder_option]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise UsageError(f"--encoder-option is {wrong[0]!r}; expected NAME=VALUE, for example tune=animation")
    return VideoOptions(
        source=source,
        target=target,
        timing=Timing(factor=factor, fps=fps, slowdown=slowdown),
        infer=InferOptions(
            artifact=args.artifact,
            devices=tuple(args.device or [None]),
            threads=args.threads,
            tta=args.tta,
            tile=args.tile,
            overlap=args.overlap,
        ),
        encode=EncodeOptions(
            encoder=args.encoder,
            crf=args.crf,
            preset=args.preset,
            pixel_format=args.pix_fmt,
            options={name: value for name, _, value in pairs},
        ),
        input_rate=None if args.input_fps is None else parse_rate(args.input_fps),
        audio=audio,
        subtitles=not args.no_subtitles,
        cut_threshold=None if args.no_scene_cuts else args.scene_threshold,
        dedup=args.dedup,
        deinterlace=args.deinterlace,
        loop=args.loop,
        start=args.start,
        end=args.end,
        chunk=None if args.chunk is None else Chunk.parse(args.chunk),
        force=args.force,
    )


def _run(args: argparse.Namespace, options: VideoOptions) -> int:
    from runtimes.video.artifact_for_size import choose_artifact
    from runtimes.video.outputs import check_target, open_source
    from runtimes.video.pipeline import open_job
    from runtimes.video.resume import check_parts, parts_folder, remove_stale_parts, run_in_parts
    from runtimes.video.sink import STDOUT
    from runtimes.video.source import describe

    check_target(options)
    if args.resume or args.ray is not None:
        check_parts(options)
    stats = _check_stats(args.stats, options.target)
    summary: Summary | None
    with ExitStack() as stack:
        source = open_source(options, note)
        stack.callback(source.close)
        note(describe(source.info))
        artifact = chosen(options.infer.artifact, options.infer.devices, source.info.size, note)
        infer = replace(options.infer, artifact=artifact)
        infer = choose_artifact(infer, source.info.size, export=args.export, note=note)
        options = replace(options, infer=infer, timing=options.timing.settled(source.info.rate))
        _say_cost(options, source.info.size)
        if args.dry_run:
            from runtimes.video.estimate import estimate

            note(f"{options.target}: {estimate(options, source, note)}; nothing is written (--dry-run)")
            return 0
        if args.ray is not None:
            from runtimes.video.ray_driver import run_on_ray

            summary = run_on_ray(options, args.part_seconds, address=args.ray, note=note)
            _end(options, summary, stats)
            return 0
        stop = stack.enter_context(interruptible(note))
        tell, progress = stack.enter_context(watching())
        if args.resume:
            summary = run_in_parts(options, args.part_seconds, note=tell, progress=progress, stop=stop)
        else:
            summary = open_job(options, stack, note=tell, progress=progress, stop=stop, source=source).run()
            if not stop.is_set() and options.target != STDOUT:
                remove_stale_parts(Path(options.target), tell)
    if summary is None:
        note(f"interrupted: the finished parts are in {parts_folder(options)}; the same command goes on from there")
    else:
        if not summary.complete:
            note(f"interrupted: {options.target} holds the first {summary.end:.2f} s")
        _end(options, summary, stats)
    return INTERRUPTED if stop.is_set() else 0


def _end(options: VideoOptions, summary: Summary, stats: Path | None) -> None:
    """Say what was done, and write it where asked to.

    Raises:
        UsageError: the statistics cannot be written: the disk is full, or a file of that name appeared meanwhile.
    """
    from runtimes.video.sink import StagedFile

    note(f"{options.target}: {summary}")
    if stats is None:
        return
    try:
        file = StagedFile(stats, force=False)
        try:
            file.staging.write_text(json.dumps(summary.to_dict(), indent=1) + "\n")
            file.finish()
        finally:
            file.discard()
    except OSError as error:
        raise UsageError(f"{options.target} is done, but --stats {stats} is not: {error.strerror}") from error


def _check_stats(path: Path | None, target: str) -> Path | None:
    """``--stats`` replaces nothing, and that is known before the work.

    Raises:
        UsageError: the file exists, is the output, or its folder does not exist.
    """
    if path is None:
        return None
    if is_taken(path):
        raise UsageError(f"--stats {path} exists, and is not replaced: name a new file")
    if not path.parent.is_dir():
        raise UsageError(f"--stats: {path.parent} does not exist: make that folder first")
    if path.resolve() == Path(target).resolve():
        raise UsageError(f"--stats {path} is the output: name another file")
    return path


def _say_cost(options: VideoOptions, frame: Size) -> None:
    from runtimes.video.interpolators import TTA_COST, tile_cost

    if options.infer.tile is not None:
        cost = tile_cost(frame, options.infer.tile, options.infer.overlap)
        note(f"tiles of {options.infer.tile} compute {cost:.2f} pixels for each pixel shown")
    if options.infer.tta:
        note(f"--tta runs the network {TTA_COST} times for each frame")
