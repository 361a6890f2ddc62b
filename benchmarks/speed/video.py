"""``python -m benchmarks video``: whole videos, decoding and encoding included, beside FFmpeg's minterpolate."""

from __future__ import annotations

import argparse

from benchmarks.errors import BenchmarkError
from benchmarks.options import VideoBenchmarkOptions
from benchmarks.report.machine_folder import add_output, check, save_and_print
from runtimes.cli import Parser, frame_size
from runtimes.commands.shipped import add_artifact
from runtimes.contract import Size
from runtimes.environment import available_cores

EPILOG = """\
Every second frame of a clip is taken out and made again, by python -m runtimes video and by FFmpeg's minterpolate with
motion compensation (mci), both into the same encoder, in turn. PSNR is that of the frames that both made against those
that were taken out. The clip is a part of Big Buck Bunny that no weights were trained on; phone, cup and run are live.

examples:
  python -m benchmarks video --stretches 4 --save
  python -m benchmarks video --size 640x360 --artifact artifacts/ifrnet_s-openvino-int8-640x360 --save
  python -m benchmarks video --size 1920x1080 --clip phone --frames 20
"""

LARGEST = 2000
"""Frames that are taken out at most: all are held in memory."""


def configure(parser: Parser) -> None:
    """The options of ``video``."""
    add = parser.add_argument
    add_artifact(parser)
    add("--device", help="where it runs (default: the backend's)")
    add("--size", type=frame_size, default=Size(1280, 720), help="frame size (default: %(default)s)")
    add("--threads", type=int, default=available_cores(), help="CPU threads of the network (default: %(default)s)")
    add(
        "--clip",
        help="bbb, phone, cup, run, scene (rendered), or a video file (default: bbb, or scene without network)",
    )
    add("--frames", type=int, default=24, help="frames to take out of a stretch and make again (default: %(default)s)")
    add("--stretches", type=int, default=1, help="parts of the clip, from slow to fast (default: %(default)s)")
    add("--rounds", type=int, default=3, help="times that each makes them, in turn (default: %(default)s)")
    add_output(parser, ".md")


def execute(args: argparse.Namespace) -> int:
    """Measure, print the table, write the files."""
    options = VideoBenchmarkOptions(
        artifact=args.artifact,
        device=args.device,
        size=args.size,
        threads=args.threads,
        clip=args.clip,
        frames=args.frames,
        stretches=args.stretches,
        rounds=args.rounds,
    )
    for name, high in (("threads", 1024), ("frames", LARGEST), ("stretches", LARGEST), ("rounds", 100)):
        if not 1 <= getattr(args, name) <= high:
            raise BenchmarkError(f"--{name} {getattr(args, name)}: expected 1 to {high}")
    if args.frames * args.stretches > LARGEST:
        raise BenchmarkError(
            f"--frames {args.frames} with --stretches {args.stretches}: expected {LARGEST} frames at most, "
            "all are held in memory"
        )
    if args.size.width % 2 or args.size.height % 2:
        raise BenchmarkError(f"--size {args.size}: expected even sides, which 4:2:0 video has")
    check(args)
    from rich.console import Console

    from benchmarks.report.progress import Progress
    from benchmarks.speed.video_rows import check_measured, measure
    from runtimes.video.errors import require_video_packages

    require_video_packages()
    with Progress(Console(stderr=True)) as progress:
        results = measure(options, args.arguments, progress)
    check_measured(results)
    save_and_print(args, results)
    return 0
