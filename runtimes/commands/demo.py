"""``python -m runtimes demo a.png b.png``: the 2x and 8x GIFs of the official repository."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from runtimes.atomic import is_taken
from runtimes.cli import Parser
from runtimes.commands.common import notes
from runtimes.commands.shipped import add_artifact, chosen
from runtimes.errors import UsageError
from runtimes.printable import note, printable
from runtimes.video.errors import require_video_packages

FACTORS = (2, 8)
SECONDS = Fraction(1, 2)
"""How long the motion from one image to the other takes; the last image is held as long."""


def main(arguments: Sequence[str]) -> int:
    """Write ``out_2x.gif`` and ``out_8x.gif``."""
    parser = Parser(
        prog="python -m runtimes demo",
        description="Make GIFs of 2x and 8x interpolation from two images. A t = 0.5 model gets to 8x by halving.",
    )
    parser.add_argument("first", type=Path, help="first image")
    parser.add_argument("second", type=Path, help="second image, of the same size")
    add_artifact(parser)
    parser.add_argument("--export", action="store_true", help="export another artifact when this one has another size")
    parser.add_argument(
        "--out", type=Path, default=Path("demo-output"), help="folder for the GIFs (default: %(default)s)"
    )
    parser.add_argument("--device", help="for example cpu, cuda:0 (default: that of the backend)")
    parser.add_argument("--force", action="store_true", help="replace the GIFs")
    args = parser.parse_args(arguments)
    require_video_packages()
    from runtimes.frames import check_frames
    from runtimes.video.artifact_for_size import choose_artifact
    from runtimes.video.color import STANDARD
    from runtimes.video.gif import GifSink
    from runtimes.video.options import InferOptions
    from runtimes.video.sink import OutputFormat
    from runtimes.video.stills import is_plain, read_image, shared_profile
    from runtimes.video.workers import load_workers

    img0, img1 = read_image(args.first), read_image(args.second)
    size = check_frames(img0, img1)
    targets = {factor: args.out / f"out_{factor}x.gif" for factor in FACTORS}
    for path in targets.values():
        if is_taken(path) and not args.force:
            raise UsageError(f"{path} exists: pass --force to replace it, or another --out")
    profile, lost = shared_profile([args.first, args.second])
    if lost or not is_plain(profile):
        note("the ICC profile is left out: GIF has none")
    with notes(), ExitStack() as stack:
        artifact = chosen(args.artifact, (args.device,), size, note)
        options = choose_artifact(
            InferOptions(artifact=artifact, devices=(args.device,)), size, export=args.export, note=note
        )
        worker = load_workers(options, stack).all[0]
        largest = max(FACTORS)
        steps = [Fraction(i, largest) for i in range(1, largest)]
        between = dict(zip(steps, worker.interpolate(img0, img1, steps), strict=True))
        args.out.mkdir(parents=True, exist_ok=True)
        for factor, path in targets.items():
            rate = factor / SECONDS
            output_format = OutputFormat(
                size=size, native="rgb24", color=STANDARD, rate=rate, unit=1 / rate, origin=Fraction(0)
            )
            sink = GifSink(path, replace(output_format, rate=1 / SECONDS), force=args.force)
            try:
                for i in range(factor + 1):
                    t = Fraction(i, factor)
                    picture = img0 if t == 0 else img1 if t == 1 else between[t]
                    sink.write(picture, t * SECONDS, SECONDS if t == 1 else 1 / rate)
                sink.finish()
            except BaseException:
                sink.discard()
                raise
            print(printable(f"{path}: {factor + 1} frames"))
    return 0
