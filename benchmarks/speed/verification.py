"""The artifacts' own proofs, each run in a process of its own: a driver that crashes or hangs costs one row."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.speed.candidates import Candidate
from benchmarks.speed.time_limit import Stage, TimeLimit
from benchmarks.speed.worker import TIMEOUT_S, Worker, WorkerError, WorkerTimeoutError
from runtimes.contract import Verdict
from runtimes.registry import verify


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What one artifact showed on one device.

    Attributes:
        artifact: name of its folder.
        arithmetic: what the convolutions ran in.
        psnr: the smallest, in dB; None where nothing could be compared.
        max_error: the largest, on the scale [0, 1].
        seconds: loading included.
    """

    artifact: str
    device: str
    verdict: Verdict
    reason: str = ""
    arithmetic: str = ""
    psnr: float | None = None
    max_error: float | None = None
    seconds: float = 0.0


class Verifier:
    """Lives in the process; the answer is there when it is made.

    Args:
        path: the artifact.
        device: as ``runtimes.load`` takes it.
    """

    def __init__(self, path: str, device: str) -> None:
        start = time.perf_counter()
        record = verify(path, device=device)
        self.ready = Verification(
            artifact=Path(path).name,
            device=device,
            verdict=record.verdict,
            reason=record.reason,
            arithmetic=record.conditions.arithmetic,
            psnr=min((result.psnr for result in record.results), default=None),
            max_error=max((result.max_error for result in record.results), default=None),
            seconds=time.perf_counter() - start,
        )


def verify_rows(
    rows: Sequence[Candidate], report: Callable[[str], None], limit: TimeLimit
) -> tuple[list[Candidate], list[Verification]]:
    """Verify every row that can run.

    Returns:
        The rows with their verdict here; one that could not be verified is not to be measured, and has the reason. And
        what verifying showed, in the same order.
    """
    checked, found = [], []
    with tempfile.TemporaryDirectory() as scratch:
        for row in rows:
            if not row.runnable:
                checked.append(row)
                continue
            report(f"verifying {row.backend} {row.precision} on {row.device}")
            try:
                outcome = _verify(row, Path(scratch) / "log.txt", limit)
                checked.append(replace(row, verdict=outcome.verdict, reason=outcome.reason))
                found.append(outcome)
            except WorkerError as error:
                reason = limit.explain(error, Stage.VERIFY)
                checked.append(replace(row, verdict=Verdict.NOT_RUN, reason=reason, runnable=False))
    return checked, found


def _verify(row: Candidate, log: Path, limit: TimeLimit) -> Verification:
    """Verify one row. Raises WorkerError when that fails, WorkerTimeoutError when it does not end in time."""
    if limit.reason(Stage.VERIFY):
        raise WorkerTimeoutError
    with Worker(Verifier, str(row.artifact), row.device, log=log) as worker:
        outcome: Verification = worker.answer(min(limit.seconds_left(Stage.VERIFY), TIMEOUT_S))
        return outcome
