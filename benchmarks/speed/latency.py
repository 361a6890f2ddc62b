"""``python -m benchmarks latency``: every backend at one size, in turn, beside PyTorch."""

from __future__ import annotations

import argparse
from dataclasses import replace

from benchmarks.errors import BenchmarkError
from benchmarks.options import LatencyOptions, add_selection, selection
from benchmarks.report.machine_folder import add_output, check, save_and_print
from benchmarks.report.plots import require_matplotlib
from runtimes.cli import Parser

EPILOG = """\
Times are medians of inference, float tensors in and out; on a GPU the transfers from and to host memory count. The
rows take turns (A B C A B C ...), each in a process of its own. Among them are matrix products in each arithmetic,
which say how near a row is to what the processor can do, and what a user has without this project: torch.onnx.export of
the network as published, on ONNX Runtime and OpenVINO as they come.

examples:
  python -m benchmarks latency --save
  python -m benchmarks latency --size 640x360 --backends openvino ncnn --precisions fp32 --rounds 5
  python -m benchmarks latency --model random:ifrnet_l --timesteps 7
"""


def configure(parser: Parser) -> None:
    """The options of ``latency``."""
    add_selection(parser)
    add = parser.add_argument
    add("--timesteps", type=int, default=1, help="frames between two: 7 measures 8x interpolation (default: 1)")
    add("--rounds", type=int, default=15, help="visits to each row, in turn (default: %(default)s)")
    add("--warmup", type=int, default=1, help="untimed calls of each row after its first (default: %(default)s)")
    add("--no-naive", action="store_true", help="leave out exports of the network as published")
    add_output(parser, ".md and .png")


def execute(args: argparse.Namespace) -> int:
    """Measure, print the table, write the files."""
    options = LatencyOptions(
        selection=replace(selection(args), naive=not args.no_naive),
        rounds=args.rounds,
        warmup=args.warmup,
        timesteps=args.timesteps,
    )
    limits = (("rounds", 1, 1000), ("warmup", 0, 100), ("timesteps", 1, 255))
    for name, low, high in limits:
        if not low <= getattr(args, name) <= high:
            raise BenchmarkError(f"--{name} {getattr(args, name)}: expected {low} to {high}")
    check(args)
    if args.json or args.save:
        require_matplotlib()
    from rich.console import Console

    from benchmarks.report.progress import Progress
    from benchmarks.speed.leaderboard import measure

    with Progress(Console(stderr=True)) as progress:
        results = measure(options, args.arguments, progress)
    save_and_print(args, results)
    return 0
