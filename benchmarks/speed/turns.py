"""Rows in turn: each is loaded in a process of its own, all are visited again and again, so that drift hits all."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.options import LatencyOptions
from benchmarks.report import environment
from benchmarks.report.progress import Progress
from benchmarks.speed.rows import PYTORCH, Row, RunningRow, label
from benchmarks.speed.time_limit import Stage, TimeLimit
from benchmarks.speed.timed_calls import TimedRuntime
from benchmarks.speed.worker import Worker
from export.parity_frames import moving_frame
from runtimes.base import Runtime
from runtimes.contract import Size
from runtimes.frames import to_frame

SETTLE_S = 0.02
"""Pause between two rows: idle thread pools spin for some milliseconds before they sleep."""

MEMORY_MARGIN = 1.3
"""A row is loaded when this many times what the largest row took is free: all stay loaded, to take turns."""

EMPTY, PRODUCT, COPY = "empty", "matrix product", "memory copy"
"""Rows that are no network: the first measures the harness, the others the machine."""

NO_NETWORK = (EMPTY, PRODUCT, COPY)


@dataclass(frozen=True, kw_only=True)
class PlannedRow:
    """A row that will be loaded: ``load(*arguments)`` in a process of its own."""

    row: Row
    load: Callable[..., Runtime]
    arguments: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What came of the planned rows.

    Attributes:
        running: those that were loaded, or failed to, in their order.
        left_out: those for which memory or time did not suffice, with the reason.
        rounds: how many visits every row got.
    """

    running: list[RunningRow]
    left_out: list[Row]
    rounds: int

    def named(self, backend: str) -> RunningRow:
        """The one row of a backend."""
        return next(iter(self.all_named(backend)))

    def all_named(self, backend: str) -> list[RunningRow]:
        """The rows of a backend."""
        return [running for running in self.running if running.row.backend == backend]

    def networks(self) -> list[RunningRow]:
        """All but :data:`NO_NETWORK`."""
        return [running for running in self.running if running.row.backend not in NO_NETWORK]


def write_frames(path: Path, size: Size) -> None:
    """The parity scene as uint8 frames ``img0`` and ``img1`` in a ``.npz``."""
    first, last = (to_frame(moving_frame(size, time), np.dtype(np.uint8)) for time in (0.0, 1.0))
    np.savez(path, img0=first, img1=last)


def measure_in_turn(
    planned: Sequence[PlannedRow], options: LatencyOptions, progress: Progress, limit: TimeLimit
) -> Measured:
    """Load one row after the other, visit all in turn, then ask for their frames.

    Args:
        planned: the rows; PyTorch comes first and may load longer, since all others are compared with it.
        options: rounds, warm-up, frames of a call.
        progress: where to show it.
        limit: what is not loaded or visited in time is left out, with the reason.
    """
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as processes:
        frames = Path(scratch) / "frames.npz"
        write_frames(frames, options.selection.size)
        running: list[RunningRow] = []
        left_out: list[Row] = []
        for number, plan in enumerate(planned):
            progress.stage(f"loading {label(plan.row)}")
            if reason := _why_not_loaded(plan.row, running, limit):
                left_out.append(replace(plan.row, reason=reason))
                continue
            inside = (plan.load, plan.arguments, frames, options.timesteps, options.warmup)
            log = frames.with_name(f"log{number}.txt")
            worker = processes.enter_context(Worker(TimedRuntime, *inside, log=log))
            running.append(RunningRow(row=plan.row, worker=worker))
            running[-1].load(limit, Stage.OUTPUTS if plan.row.backend == PYTORCH else Stage.LOAD)
        rounds = _visit(running, options.rounds, progress, limit)
        progress.stage("comparing the outputs", len(running))
        for row in running:
            row.finish(limit)
            progress.advance()
    return Measured(running=running, left_out=left_out, rounds=rounds)


def _why_not_loaded(row: Row, loaded: Sequence[RunningRow], limit: TimeLimit) -> str:
    """Why there is no memory or no time for a row; empty when there is."""
    if row.backend in NO_NETWORK:
        return ""
    largest = max((other.peak_mb or 0.0 for other in loaded), default=0.0)
    available = environment.available_mb()
    if available < MEMORY_MARGIN * largest:
        return (
            f"{available:.0f} MB of memory are left, and other rows took up to {largest:.0f}: measure fewer --backends "
            "or --precisions at once"
        )
    return "" if row.backend == PYTORCH else limit.reason(Stage.LOAD)


def _visit(rows: Sequence[RunningRow], rounds: int, progress: Progress, limit: TimeLimit) -> int:
    """Take turns until the rounds are done or the time is over; returns how many rounds are complete."""
    progress.stage(f"measuring {len(rows)} rows in turn, {rounds} rounds", rounds * len(rows))
    done = 0
    for _ in range(rounds):
        for row in rows:
            if limit.reason(Stage.ROUNDS):
                break
            time.sleep(SETTLE_S)
            row.visit(limit)
            progress.advance()
        else:
            done += 1
    for row in rows:
        if not row.samples and not row.failure:
            row.failure = limit.reason(Stage.ROUNDS)
    return done
