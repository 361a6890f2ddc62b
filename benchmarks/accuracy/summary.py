"""Scores to rows: means over groups, over sections, and over bands of motion; the table that shows them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.accuracy.published import PUBLISHED
from benchmarks.accuracy.score_log import Score
from benchmarks.report.results_file import Results

if TYPE_CHECKING:
    from rich.console import Console

BANDS = ((20.0, "below 20 px"), (45.0, "20 to 45 px"), (math.inf, "beyond 45 px"))
"""Motion between the frames that go in, up to which a band reaches, and its name."""


def summarise(
    scores: Sequence[Score], sections: Mapping[str, tuple[str, ...]], variants: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Means over samples: a row for each method and group, section of several groups, and band of motion of a section.

    Bands stand there where samples know their motion. What has no samples that a method serves has no rows.

    Args:
        scores: of all samples.
        sections: see :class:`benchmarks.accuracy.samples.Dataset`.
        variants: method -> variant, for the paper's figures.

    """
    groups = {group: (group,) for part in sections.values() for group in part}
    wholes = {f"all {name}": part for name, part in sections.items() if (name,) != part}
    rows = []
    for title, members in (*groups.items(), *wholes.items()):
        rows += _rows(title, [score for score in scores if score.group in members], variants)
    for name, members in sections.items():
        lowest = 0.0
        for highest, band in BANDS:
            chosen = [s for s in scores if s.group in members and s.motion is not None and lowest <= s.motion < highest]
            rows += _rows(f"{name}, {band}", chosen, variants)
            lowest = highest
    return rows


def _rows(title: str, scores: Sequence[Score], variants: Mapping[str, str]) -> list[dict[str, Any]]:
    """A row for each method over the scores of one part."""
    rows = []
    for method in dict.fromkeys(score.method for score in scores):
        chosen = [score for score in scores if score.method == method]
        paper = PUBLISHED.get(title, {}).get(variants.get(method, ""), (None, None))
        pairs = [(score.model_psnr, score.psnr) for score in chosen if score.model_psnr is not None]
        losses = [model - own for model, own in pairs]
        rows.append(
            {
                "name": method,
                "part": title,
                "samples": len(chosen),
                "motion": _mean(chosen, lambda score: score.motion),
                "psnr": math.fsum(score.psnr for score in chosen) / len(chosen),
                "ssim": math.fsum(score.ssim for score in chosen) / len(chosen),
                "ie": math.fsum(score.ie for score in chosen) / len(chosen),
                "perceptual": _mean(chosen, lambda score: score.perceptual),
                "flicker": _mean(chosen, lambda score: score.flicker),
                "loss": float(np.mean(losses)) if losses else None,
                "worst_loss": max(losses) if losses else None,
                "high_loss": float(np.mean(high)) if (high := [m - own for m, own in pairs if m > HIGH]) else None,
                "to_model": _mean(chosen, lambda score: score.to_model),
                "paper_psnr": paper[0],
                "paper_ssim": paper[1],
            }
        )
    return rows


def _mean(scores: Sequence[Score], value: Callable[[Score], float | None]) -> float | None:
    """Over the scores that have it; None where none has."""
    there = [found for score in scores if (found := value(score)) is not None]
    return float(np.mean(there)) if there else None


HIGH = 35.0
"""dB: samples that the model interpolates better than this have something to lose."""

COLUMNS = (
    ("samples", "samples", "d"),
    ("motion px", "motion", ".0f"),
    ("PSNR dB", "psnr", ".2f"),
    ("paper", "paper_psnr", ".2f"),
    ("SSIM", "ssim", ".4f"),
    ("paper", "paper_ssim", ".4f"),
    ("perceptual", "perceptual", ".4f"),
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
