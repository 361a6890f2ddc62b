"""``python -m benchmarks throughput``: sustained frames a second, with each backend's own way of staying busy."""

from __future__ import annotations

import argparse

from benchmarks.errors import BenchmarkError
from benchmarks.options import ThroughputOptions, add_selection, selection
from benchmarks.report.machine_folder import add_output, check, save_and_print
from runtimes.cli import Parser

EPILOG = """\
Modes: one request at a time with all threads; several copies that share the threads; OpenVINO's asynchronous queue
with its THROUGHPUT hint; PyTorch in batches. Rows take turns, and are loaded anew for each turn.

examples:
  python -m benchmarks throughput --save
  python -m benchmarks throughput --backends openvino --precisions fp32 --in-flight 2 4 --seconds 20
"""


def configure(parser: Parser) -> None:
    """The options of ``throughput``."""
    add_selection(parser)
    add = parser.add_argument
    add("--in-flight", type=int, nargs="+", default=[2], metavar="N", help="requests at the same time (default: 2)")
    add("--seconds", type=float, default=8.0, help="length of a turn (default: %(default)s)")
    add("--rounds", type=int, default=3, help="turns of each row (default: %(default)s)")
    add_output(parser, ".md")


def execute(args: argparse.Namespace) -> int:
    """Measure, print the table, write the files."""
    options = ThroughputOptions(
        selection=selection(args),
        in_flight=tuple(dict.fromkeys(args.in_flight)),
        seconds=args.seconds,
        rounds=args.rounds,
    )
    if not all(2 <= count <= 64 for count in options.in_flight):
        raise BenchmarkError(f"--in-flight {' '.join(map(str, options.in_flight))}: expected numbers from 2 to 64")
    if not 0.0 <= options.seconds <= 3600.0:
        raise BenchmarkError(f"--seconds {options.seconds}: expected 0 to 3600")
    if not 1 <= options.rounds <= 100:
        raise BenchmarkError(f"--rounds {options.rounds}: expected 1 to 100")
    check(args)
    from rich.console import Console

    from benchmarks.report.progress import Progress
    from benchmarks.speed.throughput_rows import measure

    with Progress(Console(stderr=True)) as progress:
        results = measure(options, args.arguments, progress)
    save_and_print(args, results)
    return 0
