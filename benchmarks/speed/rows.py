"""Rows of the latency table: while they are measured, and the figures that come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkError
from benchmarks.speed.candidates import Candidate
from benchmarks.speed.machine_limits import kind_of_limit
from benchmarks.speed.statistics import summarise
from benchmarks.speed.time_limit import Stage, TimeLimit
from benchmarks.speed.timed_calls import Ready, Sample
from benchmarks.speed.worker import PEAK, TIMEOUT_S, Worker, WorkerError
from runtimes.compare import psnr
from runtimes.contract import Verdict
from runtimes.frames import Array

VISIT_S = 0.2
"""A visit to a fast row repeats calls for about this long, after an untimed one: waking up does not count."""

MAX_CALLS = 50

PYTORCH = "pytorch"

REFERENCE = "reference"
"""Verdict of PyTorch itself."""

NOT_AN_ARTIFACT = "not an artifact"
"""Verdict of what carries no proof."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table; None where it was not measured.

    Times are for all frames of a call; memory and sizes are MB of 1e6 bytes. ``median_ms``, ``p90_ms``, ``fps``,
    ``ratio`` and ``noise`` are of inference, ``host_ms`` is what uint8 frames in and out cost on top. ``psnr`` is
    against fp32 PyTorch, ``psnr_loss`` what that difference costs: see :func:`expected_loss`. ``gflops`` is the work of
    the published network, a multiply-add counted as two, over the median, in 1e9 a second; what a backend saves of that
    work (Winograd, an encoder that runs once for several frames) shows as speed. ``limit_share`` is that over the
    fastest matrix product on this CPU in the arithmetic ``limit``, ``published_ratio`` the ratio to PyTorch on the CPU
    in the layout in which the network is published, NCHW.
    """

    backend: str
    precision: str
    device: str
    form: str = ""
    arithmetic: str = ""
    median_ms: float | None = None
    p90_ms: float | None = None
    fps: float | None = None
    ratio: float | None = None
    ratio_to: str = ""
    published_ratio: float | None = None
    gflops: float | None = None
    limit: str = ""
    limit_share: float | None = None
    noise: float | None = None
    host_ms: float | None = None
    load_s: float | None = None
    first_ms: float | None = None
    peak_mb: float | None = None
    artifact_mb: float | None = None
    psnr: float | None = None
    psnr_loss: float | None = None
    verdict: str = Verdict.NOT_RUN
    reason: str = ""
    samples_ms: tuple[float, ...] = ()

    @classmethod
    def of(cls, item: Candidate) -> Row:
        """Before it is measured, or because it cannot be."""
        return cls(
            backend=item.backend,
            precision=item.precision,
            device=item.device,
            artifact_mb=item.artifact_mb,
            verdict=item.verdict,
            reason=item.reason,
        )


@dataclass(kw_only=True)
class RunningRow:
    """A row while it is measured: its process, its samples, and why it failed.

    A failure of the process becomes the reason of the row, and ends its measurement.
    """

    row: Row
    worker: Worker
    ready: Ready | None = None
    samples: list[Sample] = field(default_factory=list)
    output: NDArray[np.float32] | None = None
    peak_mb: float | None = None
    failure: str = ""

    def load(self, limit: TimeLimit, until: Stage) -> None:
        """Wait until it is loaded and has made its first frame, until a stage is over."""
        self.ready = self._ask(self.worker.answer, limit=limit, stage=Stage.LOAD, until=until)
        self.peak_mb = self._ask(self.worker.call, PEAK, limit=limit, stage=Stage.LOAD)

    def visit(self, limit: TimeLimit) -> None:
        """One turn of this row."""
        if self.ready is None:
            return
        calls = min(max(round(1e3 * VISIT_S / max(self.ready.warm_ms, 1e-6)), 1), MAX_CALLS)
        samples = self._ask(self.worker.call, "visit", calls, calls > 1, limit=limit, stage=Stage.ROUNDS)
        self.samples += samples or []

    def finish(self, limit: TimeLimit) -> None:
        """Ask for its memory and for its frames."""
        self.peak_mb = self._ask(self.worker.call, PEAK, limit=limit, stage=Stage.OUTPUTS)
        self.output = self._ask(self.worker.call, "outputs", limit=limit, stage=Stage.OUTPUTS)

    def _ask(
        self,
        method: Callable[..., Any],
        *arguments: Any,
        limit: TimeLimit,
        stage: Stage,
        until: Stage = Stage.OUTPUTS,
    ) -> Any:
        """What the worker answers; None once the row has failed."""
        if self.failure:
            return None
        try:
            return method(*arguments, timeout_s=min(limit.seconds_left(until), TIMEOUT_S))
        except WorkerError as error:
            self.failure = limit.explain(error, stage)
            return None

    @property
    def median_ms(self) -> float:
        """Of inference; infinite when the row could not be measured."""
        return float(np.median([s.inference for s in self.samples])) if self.samples and not self.failure else np.inf


def label(row: Row) -> str:
    """A row's name in progress lines and messages."""
    return " ".join(filter(None, (row.backend, row.precision, row.device, row.form)))


def pick_baselines(rows: Sequence[RunningRow]) -> dict[str, RunningRow]:
    """The faster of PyTorch's memory layouts on each device where it ran.

    Raises:
        BenchmarkError: PyTorch could not be measured on the CPU.
    """
    pytorch = [running for running in rows if running.row.backend == PYTORCH]
    found: dict[str, RunningRow] = {}
    for running in sorted(pytorch, key=lambda running: running.median_ms):
        if np.isfinite(running.median_ms):
            found.setdefault(running.row.device, running)
    if "cpu" not in found:
        reason = next(running.failure for running in pytorch if running.row.device == "cpu")
        raise BenchmarkError(f"the baseline, PyTorch on the CPU, cannot be measured: {reason}")
    return found


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What all rows are compared with.

    Attributes:
        baselines: device -> the faster PyTorch row there; other devices have the CPU's.
        reference: fp32 PyTorch's frames, (timesteps, 3, H, W).
        truth: the scene at those times.
        timesteps: frames of a call.
        gflop: of the published network for one frame, in 1e9.
        published_ms: of PyTorch on the CPU in NCHW; infinite where that could not be measured.
        limits: arithmetic -> GFLOP/s of its fastest matrix product on the CPU.
    """

    baselines: dict[str, RunningRow]
    reference: NDArray[np.float32]
    truth: NDArray[np.float32]
    timesteps: int
    gflop: float
    published_ms: float
    limits: Mapping[str, float]

    def figures(self, running: RunningRow) -> Row:
        """The row with its figures, or with the reason why it has none."""
        if running.failure or running.ready is None or running.output is None:
            return replace(running.row, reason=running.failure)
        base = self.baselines.get(running.row.device, self.baselines["cpu"])
        found = summarise([sample.inference for sample in running.samples])
        against = psnr(running.output, self.reference)
        gflops = 1e3 * self.timesteps * self.gflop / found.median
        limit = kind_of_limit(running.ready.arithmetic) if running.row.device.rpartition("/")[2] == "cpu" else None
        best = self.limits.get(limit) if limit else None
        return replace(
            running.row,
            arithmetic=running.ready.arithmetic,
            form=running.row.form or ("tuned" if running.ready.tuned else ""),
            median_ms=found.median,
            p90_ms=found.p90,
            fps=1e3 * self.timesteps / found.median,
            ratio=base.median_ms / found.median,
            ratio_to=label(base.row),
            published_ratio=self.published_ms / found.median if np.isfinite(self.published_ms) else None,
            gflops=gflops,
            limit=limit if limit and best else "",
            limit_share=gflops / best if best else None,
            noise=found.noise,
            host_ms=float(np.median([sample.host for sample in running.samples])),
            load_s=running.ready.load_s,
            first_ms=running.ready.first_ms,
            peak_mb=running.peak_mb,
            psnr=against if np.isfinite(against) else None,
            psnr_loss=expected_loss(running.output, self.reference, self.truth),
            samples_ms=tuple(sample.inference for sample in running.samples),
        )


def expected_loss(output: Array, reference: Array, truth: Array) -> float:
    """dB of PSNR against the truth that an error independent of the reference's own costs.

    Errors add up as powers: 10 log10(1 + mean (output - reference)^2 / mean (reference - truth)^2). The difference of
    two measured PSNRs on one scene would show chance, with either sign.
    """
    own = float(np.mean(np.square(reference.astype(np.float64) - truth)))
    added = float(np.mean(np.square(output.astype(np.float64) - reference)))
    return 10.0 * float(np.log10(1.0 + added / own))


def winner(rows: Sequence[Row]) -> Row | None:
    """The fastest row whose output was proven: one that failed parity, or never ran it, does not count."""
    proven = [row for row in rows if row.median_ms is not None and row.verdict in (Verdict.PASSED, REFERENCE)]
    return min(proven, key=lambda row: row.median_ms or np.inf, default=None)
