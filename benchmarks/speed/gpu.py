"""``python -m benchmarks gpu``: one command for a machine with a GPU: export, verify, measure, write the results."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.options import GpuOptions, add_selection, selection
from benchmarks.report.results_file import check_output, write_text
from runtimes.cli import Parser

EPILOG = """\
Every artifact is verified on every GPU of its backend, then measured there beside PyTorch on the CPU (and on the GPU,
where this PyTorch has it). Artifacts that --artifacts lacks are exported. Nothing is fetched from a network. What does
not fit into --minutes is not measured, and the results say so; artifacts that exist leave more time.

Results: gpu.json and gpu.md in --out. The JSON is that of latency, for python -m benchmarks compare and plot.

exit codes: 0 measured, 1 there is no GPU or nothing could be measured on it, 2 an artifact failed on a GPU.

examples:
  python -m benchmarks gpu
  python -m benchmarks gpu --backends tensorrt --precisions fp32 fp16 --out h100
  python -m benchmarks gpu --rehearse --size 160x96 --backends onnxruntime ncnn --devices cpu vulkan:0
"""

NAME = "gpu.json"


def configure(parser: Parser) -> None:
    """The options of ``gpu``."""
    add_selection(parser)
    add = parser.add_argument
    add("--minutes", type=float, default=8.0, help="time for everything (default: %(default)g)")
    add("--rounds", type=int, default=15, help="visits to each row, in turn (default: %(default)s)")
    add("--out", type=Path, default=Path("gpu-results"), help="folder of the results (default: %(default)s)")
    add("--rehearse", action="store_true", help="measure on the CPU as well, so that no GPU is needed")


def execute(args: argparse.Namespace) -> int:
    """Export, verify, measure, write the files, print the table."""
    start = time.monotonic()
    options = GpuOptions(selection=selection(args), minutes=args.minutes, rounds=args.rounds, rehearse=args.rehearse)
    if not 0.1 <= options.minutes <= 1440.0:
        raise BenchmarkError(f"--minutes {options.minutes:g}: expected 0.1 to 1440")
    if not 1 <= options.rounds <= 1000:
        raise BenchmarkError(f"--rounds {options.rounds}: expected 1 to 1000")
    path = args.out / NAME
    from rich.console import Console

    from benchmarks.report.progress import Progress
    from benchmarks.report.tables import markdown, print_results
    from benchmarks.speed.gpu_rows import exit_code, measure, rows_to_measure
    from benchmarks.speed.time_limit import TimeLimit

    rows = rows_to_measure(options)
    check_output(path)
    limit = TimeLimit(minutes=options.minutes, start=start)
    console = Console()
    with Progress(Console(stderr=True)) as progress:
        results = measure(rows, options, args.arguments, progress, limit)
    results.save(path)
    write_text(path.with_suffix(".md"), markdown(results))
    print_results(console, results)
    for written in (path, path.with_suffix(".md")):
        console.print(f"wrote {written}", highlight=False, soft_wrap=True)
    return exit_code(results)
