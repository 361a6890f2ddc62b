"""``python -m runtimes interpolate a.png b.png -o mid.png``."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import runtimes
from runtimes.atomic import is_taken
from runtimes.cli import Parser
from runtimes.commands.common import notes, timestep
from runtimes.commands.shipped import add_artifact, chosen
from runtimes.errors import UsageError
from runtimes.frames import check_frames
from runtimes.printable import note
from runtimes.video.stills import (
    LOST_PROFILES,
    check_output,
    check_suffix,
    may_be_transparent,
    read_image,
    shared_profile,
    write_image,
)


def main(arguments: Sequence[str]) -> int:
    """Read two images, write the one between."""
    parser = Parser(prog="python -m runtimes interpolate", description="Make the frame between two images.")
    parser.add_argument("first", type=Path, help="image at t = 0 (.png, .jpg, .webp)")
    parser.add_argument("second", type=Path, help="image at t = 1, of the same size")
    parser.add_argument("-o", "--output", type=Path, required=True, help="image to write")
    add_artifact(parser)
    parser.add_argument("--t", type=timestep, default=Fraction(1, 2), help="time between 0 and 1 (default: 0.5)")
    parser.add_argument(
        "--halve", action="store_true", help="reach t = 1/4, 3/4, 1/8, ... on a t = 0.5 model by halving"
    )
    parser.add_argument("--device", help="for example cpu, cuda:0, vulkan:0 (default: that of the backend)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: that of the backend)")
    parser.add_argument("--force", action="store_true", help="replace the output")
    args = parser.parse_args(arguments)
    check_suffix(args.output)
    if is_taken(args.output) and not args.force:
        raise UsageError(f"{args.output} exists: pass --force to replace it, or name another output")
    img0, img1 = read_image(args.first), read_image(args.second)
    size = check_frames(img0, img1)
    check_output(args.output, img0)
    if may_be_transparent(args.first) or may_be_transparent(args.second):
        note("transparency is left out: `video` keeps it, of a folder of these")
    profile, lost = shared_profile([args.first, args.second])
    if lost:
        note(f"{LOST_PROFILES} are left out")
    with notes():
        artifact = chosen(args.artifact, (args.device,), size, note)
        with runtimes.load(artifact, device=args.device, threads=args.threads) as runtime:
            spec = runtime.spec
            middle = (
                _halved(runtime, args.t)(img0, img1, [args.t])[0]
                if args.halve
                else runtime.interpolate(img0, img1, float(args.t))
            )
    write_image(middle, args.output, profile)
    print(f"{args.output}: t = {float(args.t):g}, {spec.name} on {spec.backend} {spec.device} ({spec.arithmetic})")
    return 0


def _halved(runtime: runtimes.Runtime, t: Fraction):  # type: ignore[no-untyped-def]
    from runtimes.video.interpolators import Meter, halved
    from runtimes.video.timeline import depth_of

    if depth_of(t) < 1:
        raise UsageError(f"t is {t}, which halving does not reach; expected k/2, k/4, k/8, ...")
    return halved(Meter(runtime))
