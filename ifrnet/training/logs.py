"""CSV logs and a progress line."""

from __future__ import annotations

import csv
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ifrnet.training.objective import TERMS
from ifrnet.training.options import RunOptions
from runtimes.atomic import write_bytes

STEPS = "steps.csv"
EVALUATIONS = "evaluations.csv"


class Log:
    """Means of the loss terms every ``log_steps``, evaluations as they come; silent in all processes but the first.

    Rows beyond ``step``, where the run begins or goes on, are dropped: a run that was cut off takes those steps again.
    """

    def __init__(self, folder: Path, step: int, steps: int, machine: RunOptions, first: bool) -> None:
        self._folder = folder
        self._step = step
        self._steps = steps
        self._every = machine.log_steps
        self._first = first
        self._sums = dict.fromkeys(TERMS, 0.0)
        self._count = 0
        self._progress = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
            console=Console(stderr=True),
            disable=not first,
        )
        self._task = self._progress.add_task("train", total=steps, loss="")

    def __enter__(self) -> Self:
        if self._first:
            self._folder.mkdir(parents=True, exist_ok=True)
            for name in (STEPS, EVALUATIONS):
                self._drop_rows(self._folder / name)
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._first:
            self._progress.stop()

    def step(self, step: int, seconds: float, rate: float, terms: dict[str, float]) -> None:
        """Count one step; write a row when ``log_steps`` have gathered."""
        if not self._first:
            return
        for name, value in terms.items():
            self._sums[name] += value
        self._count += 1
        self._progress.update(self._task, completed=step)
        if step % self._every and step != self._steps:
            return
        means = {name: value / self._count for name, value in self._sums.items()}
        self._progress.update(self._task, loss=f"loss {means['loss']:.4f}")
        self._append(STEPS, {"step": step, "seconds": round(seconds, 1), "rate": f"{rate:.3g}", **_short(means)})
        self._sums = dict.fromkeys(TERMS, 0.0)
        self._count = 0

    def evaluation(self, step: int, seconds: float, figures: dict[str, float]) -> None:
        """Write the figures of one evaluation."""
        self._append(EVALUATIONS, {"step": step, "seconds": round(seconds, 1), **_short(figures)})
        line = "  ".join(f"{name} {value:.2f}" for name, value in figures.items())
        self._progress.console.print(f"step {step}: {line}")

    def _drop_rows(self, path: Path) -> None:
        if not path.exists():
            return
        header, *rows = path.read_bytes().splitlines(keepends=True) or [b""]
        kept = [row for row in rows if row.endswith(b"\n") and self._is_done(row.partition(b",")[0])]
        if kept != rows:
            write_bytes(path, b"".join([header, *kept]))

    def _is_done(self, step: bytes) -> bool:
        return step.isdigit() and int(step) <= self._step

    def _append(self, name: str, row: dict[str, object]) -> None:
        path = self._folder / name
        new = not path.exists()
        with path.open("a", newline="") as out:
            writer = csv.DictWriter(out, fieldnames=list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)


def _short(values: dict[str, float]) -> dict[str, object]:
    return {name: f"{value:.6g}" for name, value in values.items()}
