"""The measurement behind ``accuracy``: every method on every sample, means over groups, the paper's figures beside."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.accuracy.datasets import open_dataset
from benchmarks.accuracy.methods import BASELINES, Method, Network, Prediction
from benchmarks.accuracy.metrics import flicker, interpolation_error, psnr, ssim
from benchmarks.accuracy.published import PUBLISHED
from benchmarks.accuracy.samples import Dataset, Sample
from benchmarks.accuracy.score_log import Score, ScoreLog
from benchmarks.errors import BenchmarkError
from benchmarks.options import AccuracyOptions
from benchmarks.report import environment
from benchmarks.report.progress import Progress
from benchmarks.report.results_file import Kind, Results, command_line
from runtimes.base import Runtime
from runtimes.frames import to_tensor

if TYPE_CHECKING:
    from rich.console import Console


def measure(options: AccuracyOptions, arguments: Sequence[str], progress: Progress) -> tuple[Results, ScoreLog]:
    """Run the whole measurement, or what an interrupted one left.

    Args:
        options: what to measure.
        arguments: the command line, for the results file.
        progress: where to show it.

    Raises:
        BenchmarkError: a dataset or a network that does not fit.
    """
    progress.stage(f"opening {options.dataset}")
    dataset = open_dataset(options.dataset, options.root, options.crop)
    with _networks(options, dataset, progress) as networks:
        methods: dict[str, Method] = {name: make() for name, make in BASELINES.items()} if options.baselines else {}
        methods |= networks
        variants = {name: network.runtime.manifest.variant for name, network in networks.items()}
        header = {
            "dataset": dataset.name,
            "samples": len(dataset),
            "crop": options.crop,
            "methods": list(methods),
            "weights": [network.runtime.manifest.checkpoint.get("sha256") for network in networks.values()],
        }
        journal = ScoreLog(options.journal, header)
        before = len({score.id for score in journal.scores})
        progress.stage(f"{dataset.name}: {len(dataset)} samples, {before} of them done before", len(dataset), before)
        _score(dataset, methods, journal, progress, options.models[0] if options.models else None)
    results = Results(
        kind=Kind.ACCURACY,
        command=command_line("accuracy", arguments),
        settings={**header, "scale": dataset.scale, "padding": dataset.padding.value, "threads": options.threads},
        environment=environment.describe(),
        rows=summarise(journal.scores, dataset.sections, variants),
        summary={"notes": list(dataset.notes), "samples": [vars(score) for score in journal.scores]},
    )
    return results, journal


@contextmanager
def _networks(options: AccuracyOptions, dataset: Dataset, progress: Progress) -> Iterator[dict[str, Network]]:
    """Models in PyTorch and artifacts, loaded; closed at the end of the block."""
    from benchmarks.accuracy.export_per_size import ExportPerSize
    from benchmarks.speed.eager import EagerRuntime
    from ifrnet import load_model
    from runtimes.registry import load

    with ExitStack() as stack:
        found: dict[str, Network] = {}

        def add(name: str, runtime: Runtime) -> None:
            if name in found:
                raise BenchmarkError(f"two networks are named {name}: rename one, or measure them apart")
            found[name] = Network(stack.enter_context(runtime), dataset)

        for name in options.models:
            add(name, EagerRuntime(load_model(name), scale=dataset.scale, threads=options.threads))
        for path in options.artifacts:
            runtime = load(path, device=options.device, threads=options.threads)
            add(f"{runtime.spec.name} on {runtime.spec.device}", runtime)
        for what in options.builds:
            built = ExportPerSize(
                what,
                options.models[0] if options.models else "ifrnet_s",
                scale=dataset.scale,
                device=options.device,
                threads=options.threads,
                folder=options.folder,
                report=progress.stage,
            )
            add(f"{built.spec.name} on {built.spec.device}", built)
        yield found


def _score(
    dataset: Dataset, methods: Mapping[str, Method], journal: ScoreLog, progress: Progress, model: str | None
) -> None:
    """Measure what the journal does not have yet, window by window; networks are compared with ``model``."""
    for window, members in itertools.groupby(dataset.samples(journal.windows), key=lambda sample: sample.window):
        scores: list[Score] = []
        before: dict[str, tuple[Prediction, Prediction]] = {}
        for sample in members:
            truth = to_tensor(sample.truth)
            reference: Prediction | None = None
            for name, method in methods.items():
                output = method(sample)
                score = _judge(name, sample, output, truth, before.get(name))
                if reference is not None:
                    score = replace(score, model_psnr=psnr(reference, truth), to_model=psnr(output, reference))
                scores.append(score)
                before[name] = output, truth
                if name == model:
                    reference = output
            progress.advance()
        journal.add(window, scores)


def _judge(
    method: str, sample: Sample, output: Prediction, truth: Prediction, before: tuple[Prediction, Prediction] | None
) -> Score:
    return Score(
        method=method,
        id=sample.id,
        group=sample.group,
        psnr=psnr(output, truth),
        ssim=ssim(output, truth),
        ie=interpolation_error(output, truth),
        flicker=flicker(before[0], output, before[1], truth) if before else None,
    )


def summarise(
    scores: Sequence[Score], sections: Mapping[str, tuple[str, ...]], variants: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Means over samples: a row for each method and group, and for each method and section of several groups.

    Args:
        scores: of all samples.
        sections: see :class:`benchmarks.accuracy.samples.Dataset`.
        variants: method -> variant, for the paper's figures.

    Raises:
        BenchmarkError: a group has no samples.
    """
    groups = {group: (group,) for part in sections.values() for group in part}
    wholes = {f"all {name}": part for name, part in sections.items() if (name,) != part}
    rows = []
    for title, members in (*groups.items(), *wholes.items()):
        for method in dict.fromkeys(score.method for score in scores):
            chosen = [score for score in scores if score.method == method and score.group in members]
            if not chosen:
                raise BenchmarkError(f"{title} has no samples: the dataset is not complete")
            paper = PUBLISHED.get(title, {}).get(variants.get(method, ""), (None, None))
            distances = [score.to_model for score in chosen if score.to_model is not None]
            pairs = [(score.model_psnr, score.psnr) for score in chosen if score.model_psnr is not None]
            losses = [model - own for model, own in pairs]
            high = [model - own for model, own in pairs if model > HIGH]
            steady = [score.flicker for score in chosen if score.flicker is not None]
            rows.append(
                {
                    "name": method,
                    "part": title,
                    "samples": len(chosen),
                    "psnr": math.fsum(score.psnr for score in chosen) / len(chosen),
                    "ssim": math.fsum(score.ssim for score in chosen) / len(chosen),
                    "ie": math.fsum(score.ie for score in chosen) / len(chosen),
                    "flicker": float(np.mean(steady)) if steady else None,
                    "loss": float(np.mean(losses)) if losses else None,
                    "worst_loss": max(losses) if losses else None,
                    "high_loss": float(np.mean(high)) if high else None,
                    "to_model": float(np.mean(distances)) if distances else None,
                    "paper_psnr": paper[0],
                    "paper_ssim": paper[1],
                }
            )
    return rows


HIGH = 35.0
"""dB: samples that the model interpolates better than this have something to lose."""

COLUMNS = (
    ("samples", "samples", "d"),
    ("PSNR dB", "psnr", ".2f"),
    ("paper", "paper_psnr", ".2f"),
    ("SSIM", "ssim", ".4f"),
    ("paper", "paper_ssim", ".4f"),
    ("IE", "ie", ".2f"),
    ("flicker", "flicker", ".2f"),
    ("loss dB", "loss", ".3f"),
    ("worst", "worst_loss", ".3f"),
    (f"above {HIGH:.0f}", "high_loss", ".3f"),
    ("to model dB", "to_model", ".1f"),
)
"""Heading, key of a row, format. Columns without any figure are left out."""


def print_table(console: Console, results: Results) -> None:
    """A line for each row, the parts apart, and what a reader has to know."""
    from rich.table import Table

    columns = [column for column in COLUMNS if any(row[column[1]] is not None for row in results.rows)]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("on", "method"):
        table.add_column(heading, no_wrap=True)
    for heading, _, _ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    before = None
    for row in results.rows:
        cells = ("-" if row[key] is None else format(row[key], form) for _, key, form in columns)
        table.add_row(row["part"] if row["part"] != before else "", row["name"], *cells)
        before = row["part"]
    console.width = max(console.width, 120)
    console.print(table)
    for note in results.summary["notes"]:
        console.print(note, highlight=False, markup=False, soft_wrap=True)
