"""A time limit for a whole command, shared out to its stages: what comes too late is not measured, and says so."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from benchmarks.speed.worker import WorkerError, WorkerTimeoutError


class Stage(StrEnum):
    """What happens to a row, in this order."""

    EXPORT = "exported"
    VERIFY = "verified"
    LOAD = "loaded"
    ROUNDS = "measured"
    OUTPUTS = "compared with PyTorch"


SHARES = MappingProxyType(
    {Stage.EXPORT: 0.5, Stage.VERIFY: 0.65, Stage.LOAD: 0.78, Stage.ROUNDS: 0.88, Stage.OUTPUTS: 0.95}
)
"""Share of the whole time after which a stage is over; the rest is for ending processes and writing files."""


@dataclass(frozen=True, kw_only=True)
class TimeLimit:
    """Without arguments there is no limit.

    Attributes:
        minutes: for everything, from ``start``.
        start: of the command, by ``time.monotonic()``.
    """

    minutes: float = math.inf
    start: float = field(default_factory=time.monotonic)

    def seconds_left(self, stage: Stage) -> float:
        """Until a stage is over; infinite without a limit, negative afterwards."""
        return self.start + 60.0 * self.minutes * SHARES[stage] - time.monotonic()

    def reason(self, stage: Stage) -> str:
        """Why a row that has not reached the end of a stage does not reach it; empty while there is time."""
        if self.seconds_left(stage) > 0.0:
            return ""
        return (
            f"it could not be {stage} within --minutes {self.minutes:g}: raise that, or name fewer --backends or "
            "--precisions"
        )

    def explain(self, error: WorkerError, stage: Stage) -> str:
        """Why a row failed in a stage: for lack of time, or what the error says."""
        late = self.reason(stage) if isinstance(error, WorkerTimeoutError) else ""
        return late or f"it could not be {stage}: {error}"
