"""``python -m benchmarks accuracy``: PSNR and SSIM of a network beside plain averaging and classical optical flow."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.environment import available_cores
from benchmarks.errors import BenchmarkError
from runtimes.cli import Parser

EPILOG = """\
PSNR is that of float frames in [0, 1], averaged over samples, and SSIM as IFRNet's evaluation computes it.

examples:
  python -m benchmarks accuracy --dataset footage
  python -m benchmarks accuracy --dataset footage --model my-checkpoint.safetensors --json accuracy.json
"""


@dataclass(frozen=True, kw_only=True)
class AccuracyOptions:
    """One measurement.

    Attributes:
        dataset: key in ``benchmarks.datasets.DATASETS``.
        models: built-in names or checkpoint paths.
        root: where the dataset lies; None for its usual place.
        threads: CPU threads of PyTorch.
    """

    dataset: str
    models: tuple[str, ...]
    root: Path | None
    threads: int


@dataclass(frozen=True, kw_only=True)
class Score:
    """One method on one sample: PSNR in dB, SSIM."""

    method: str
    id: str
    group: str
    psnr: float
    ssim: float


def configure(parser: Parser) -> None:
    """The options of ``accuracy``."""
    add = parser.add_argument
    add("--dataset", default="footage", metavar="NAME", help="what to measure on (default: %(default)s)")
    add("--model", action="append", metavar="NAME", help="built-in name or checkpoint file; repeatable")
    add("--root", type=Path, help="folder of the dataset; for footage, the cache it is fetched into")
    add("--threads", type=int, default=available_cores(), help="CPU threads of PyTorch (default: all, %(default)s)")
    add("--json", type=Path, metavar="PATH", help="write the results with every sample's figures")


def execute(args: argparse.Namespace) -> int:
    """Measure, print the table, write the file."""
    if args.threads < 1:
        raise BenchmarkError(f"--threads {args.threads}: expected at least 1")
    options = AccuracyOptions(
        dataset=args.dataset, models=tuple(args.model or ("ifrnet_s",)), root=args.root, threads=args.threads
    )
    from rich.console import Console

    from benchmarks.environment import describe
    from benchmarks.progress import Progress
    from benchmarks.results_file import Kind, Results, command_line

    console = Console()
    with Progress(Console(stderr=True)) as progress:
        scores, sections = measure(options, progress)
    rows = summarise(scores, sections)
    print_table(console, rows)
    if args.json:
        results = Results(
            kind=Kind.ACCURACY,
            command=command_line("accuracy", args.arguments),
            settings={"dataset": options.dataset, "models": list(options.models), "threads": options.threads},
            environment=describe(),
            rows=rows,
            summary={"samples": [vars(score) for score in scores]},
        )
        results.save(args.json)
        console.print(f"wrote {args.json}", highlight=False, soft_wrap=True)
    return 0


def measure(options: AccuracyOptions, progress: Any) -> tuple[list[Score], dict[str, tuple[str, ...]]]:
    """Every method on every sample, and the dataset's sections.

    Raises:
        BenchmarkError: there is no such dataset.
    """
    from benchmarks.datasets import DATASETS
    from benchmarks.methods import BASELINES, Network, as_tensor
    from runtimes.compare import psnr, ssim

    if options.dataset not in DATASETS:
        raise BenchmarkError(f"no dataset {options.dataset!r}; there is: {', '.join(DATASETS)}")
    methods = {name: make() for name, make in BASELINES.items()}
    methods |= {name: Network(name, options.threads) for name in options.models}
    progress.stage(f"opening {options.dataset}")
    dataset = DATASETS[options.dataset](options.root)
    progress.stage(f"{options.dataset}: {len(dataset)} samples", total=len(dataset))
    scores = []
    for sample in dataset.samples():
        truth = as_tensor(sample.truth)
        for name, method in methods.items():
            out = method(sample)
            scores.append(
                Score(method=name, id=sample.id, group=sample.group, psnr=psnr(out, truth), ssim=ssim(out, truth))
            )
        progress.advance()
    return scores, dataset.sections


def summarise(scores: Sequence[Score], sections: dict[str, tuple[str, ...]]) -> list[dict[str, Any]]:
    """Means over samples, a row per method and group and a row per method and section."""
    methods = list(dict.fromkeys(score.method for score in scores))
    groups = {group: (group,) for part in sections.values() for group in part}
    rows = []
    for title, members in (*groups.items(), *((f"all {name}", part) for name, part in sections.items())):
        for method in methods:
            chosen = [score for score in scores if score.method == method and score.group in members]
            if not chosen:
                raise BenchmarkError(f"{title} has no samples: the dataset is not complete")
            rows.append(
                {
                    "name": method,
                    "part": title,
                    "samples": len(chosen),
                    "psnr": math.fsum(score.psnr for score in chosen) / len(chosen),
                    "ssim": math.fsum(score.ssim for score in chosen) / len(chosen),
                }
            )
    return rows


def print_table(console: Any, rows: Sequence[dict[str, Any]]) -> None:
    """A line for each row, the parts apart."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("on", "method", "samples", "PSNR dB", "SSIM"):
        table.add_column(heading, justify="left" if heading in ("on", "method") else "right", no_wrap=True)
    before = None
    for row in rows:
        part = row["part"] if row["part"] != before else ""
        table.add_row(part, row["name"], str(row["samples"]), f"{row['psnr']:.2f}", f"{row['ssim']:.4f}")
        before = row["part"]
    console.print(table)
