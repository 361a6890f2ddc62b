"""What ``throughput`` measures: every mode of every row in turn, loaded anew each time so that memory suffices."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.options import Selection, ThroughputOptions
from benchmarks.report import environment
from benchmarks.report.progress import Progress
from benchmarks.report.results_file import Kind, Results, command_line
from benchmarks.speed.candidates import Candidate, candidates, provide
from benchmarks.speed.eager import Layout
from benchmarks.speed.parallel_requests import Copies, EagerBatch, Loaded, Mode, OpenVinoQueue, Turn
from benchmarks.speed.rows import REFERENCE
from benchmarks.speed.statistics import noise
from benchmarks.speed.timed_calls import load_artifact, load_pytorch
from benchmarks.speed.turns import write_frames
from benchmarks.speed.worker import PEAK, Worker, WorkerError
from ifrnet import load_model
from runtimes.contract import Precision, Verdict

ONE = "one at a time"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line: a row of the leaderboard in one mode; None where it was not measured.

    ``fps`` is the median over turns, ``latency_ms`` how long a request takes meanwhile, ``gain`` the ratio to the same
    backend, precision and device one at a time.
    """

    backend: str
    precision: str
    device: str
    mode: str
    arithmetic: str = ""
    detail: str = ""
    fps: float | None = None
    noise: float | None = None
    latency_ms: float | None = None
    gain: float | None = None
    peak_mb: float | None = None
    verdict: str = Verdict.NOT_RUN
    reason: str = ""
    samples_fps: tuple[float, ...] = ()


@dataclass(kw_only=True)
class RunningMode:
    """A row while it is measured. ``build(frames, *arguments)`` makes its mode, in a process of its own."""

    row: Row
    build: Callable[..., Mode]
    arguments: tuple[Any, ...]
    loaded: Loaded | None = None
    turns: list[Turn] = field(default_factory=list)
    peak_mb: float | None = None
    failure: str = ""

    def take_turn(self, frames: Path, seconds: float) -> None:
        """Load, run, unload."""
        if self.failure:
            return
        try:
            with Worker(self.build, frames, *self.arguments, log=frames.with_name("log.txt")) as worker:
                self.loaded = worker.answer()
                self.turns.append(worker.call("run", seconds))
                self.peak_mb = max(self.peak_mb or 0.0, worker.call(PEAK))
        except WorkerError as error:
            self.failure = str(error)

    def figures(self) -> Row:
        """The row with its figures, or with the reason why it has none."""
        if self.failure or self.loaded is None:
            return replace(self.row, reason=self.failure)
        rates = [turn.fps for turn in self.turns]
        return replace(
            self.row,
            arithmetic=self.loaded.arithmetic,
            detail=self.loaded.detail,
            fps=float(np.median(rates)),
            noise=noise(rates),
            latency_ms=float(np.median([turn.latency_ms for turn in self.turns])),
            peak_mb=self.peak_mb,
            samples_fps=tuple(rates),
        )


def measure(options: ThroughputOptions, arguments: Sequence[str], progress: Progress) -> Results:
    """Run the whole benchmark.

    Args:
        options: what to measure.
        arguments: the command line, for the results file.
        progress: where to show it.
    """
    chosen = options.selection
    machine = environment.describe()
    progress.stage(f"loading {chosen.model}")
    info = load_model(chosen.model).info
    assert info is not None
    items = provide(candidates(chosen), chosen, info, progress.stage)
    modes = list(_all_modes(items, chosen, options.in_flight))
    with tempfile.TemporaryDirectory() as scratch:
        frames = Path(scratch) / "frames.npz"
        write_frames(frames, chosen.size)
        progress.stage(f"measuring {len(modes)} modes in turn", options.rounds * len(modes))
        for _ in range(options.rounds):
            for mode in modes:
                mode.take_turn(frames, options.seconds)
                progress.advance()
    rows = _with_gains([mode.figures() for mode in modes])
    rows += [_unmeasured(item) for item in items if not item.runnable]
    return Results(
        kind=Kind.THROUGHPUT,
        command=command_line("throughput", arguments),
        settings={
            "model": info.name,
            "checkpoint_sha256": info.sha256,
            "size": str(chosen.size),
            "threads": chosen.threads,
            "timesteps": 1,
            "schedule": "one frame at t = 0.5",
            "rounds": options.rounds,
            "seconds": options.seconds,
        },
        environment={**machine, "load_after": environment.load_average()},
        summary={"winner": _winner(rows)},
        rows=[asdict(row) for row in rows],
    )


def _all_modes(items: Sequence[Candidate], chosen: Selection, in_flight: Sequence[int]) -> Iterator[RunningMode]:
    """Every mode of PyTorch and of every artifact that can run."""
    base = Row(backend="pytorch", precision=Precision.FP32, device="cpu", mode=ONE, verdict=REFERENCE)
    eager = (chosen.model, "cpu", Layout.CHANNELS_LAST.value, chosen.threads)
    yield RunningMode(row=base, build=Copies, arguments=(load_pytorch, eager, 1))
    for count in in_flight:
        batch = (chosen.model, "cpu", chosen.threads, count)
        yield RunningMode(row=replace(base, mode=f"batches of {count}"), build=EagerBatch, arguments=batch)
    for item in items:
        if item.runnable:
            yield from _modes_of(item, chosen, in_flight)


def _modes_of(item: Candidate, chosen: Selection, in_flight: Sequence[int]) -> Iterator[RunningMode]:
    """One at a time, several copies, and OpenVINO's queue."""
    row = replace(_unmeasured(item), mode=ONE)
    path = str(item.artifact)
    yield RunningMode(row=row, build=Copies, arguments=(load_artifact, (path, item.device, chosen.threads), 1))
    for count in in_flight:
        share = max(chosen.threads // count, 1)
        copies = (load_artifact, (path, item.device, share), count)
        yield RunningMode(
            row=replace(row, mode=f"{count} copies, CPU threads {share} each"), build=Copies, arguments=copies
        )
    if item.backend == "openvino":
        queue = (path, item.device, chosen.threads)
        yield RunningMode(row=replace(row, mode="asynchronous queue"), build=OpenVinoQueue, arguments=queue)


def _unmeasured(item: Candidate) -> Row:
    """The row of a candidate before it is measured, or because it cannot be."""
    return Row(
        backend=item.backend,
        precision=item.precision,
        device=item.device,
        mode="",
        verdict=item.verdict,
        reason=item.reason,
    )


def _with_gains(rows: Sequence[Row]) -> list[Row]:
    """The rows, each with its gain over one request at a time."""
    alone = {(row.backend, row.precision, row.device): row.fps for row in rows if row.mode == ONE}
    found = []
    for row in rows:
        base = alone.get((row.backend, row.precision, row.device))
        found.append(replace(row, gain=row.fps / base if row.fps is not None and base is not None else None))
    return found


def _winner(rows: Sequence[Row]) -> str | None:
    """The most frames per second among rows whose output was proven."""
    proven = [row for row in rows if row.fps is not None and row.verdict in (Verdict.PASSED, REFERENCE)]
    best = max(proven, key=lambda row: row.fps or 0.0, default=None)
    return f"{best.backend} {best.precision} {best.device}, {best.mode}" if best else None
