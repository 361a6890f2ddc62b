"""What a job tells while it runs and when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a job is. ``done`` and ``total`` are source seconds; ``total`` is None where the source does not say.

    ``before`` is the share of ``done`` that an earlier run did, and that says nothing about this one's speed.
    """

    frames_out: int
    done: Fraction
    total: Fraction | None
    before: Fraction = Fraction(0)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a job did.

    Attributes:
        inferred: frames made by the network, with tiles and averaging each call counted.
        infer_seconds: the devices' time that took, summed over devices.
        seconds: from the first decoded frame to the closed file.
        end: output seconds from the first frame of the job to the end of the last.
        complete: false when it was stopped early.
        frames_kept: of ``frames_out``, those in parts that an earlier run had made; the other numbers leave them out.
    """

    frames_in: int
    frames_out: int
    inferred: int
    cuts: int
    duplicates: int
    seconds: float
    infer_seconds: float
    devices: int
    end: float
    complete: bool
    frames_kept: int = 0

    @property
    def throughput(self) -> float:
        """Inferred frames a second, end to end."""
        return self.inferred / self.seconds if self.seconds else 0.0

    @property
    def infer_throughput(self) -> float:
        """Inferred frames a second that the devices gave while they worked."""
        return self.inferred * self.devices / self.infer_seconds if self.infer_seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "throughput": self.throughput, "infer_throughput": self.infer_throughput}

    def __str__(self) -> str:
        parts = [
            f"{self.frames_in} frames in, {self.frames_out} out ({self.inferred} inferred) in {self.seconds:.1f} s"
        ]
        if self.inferred:
            parts.append(f"{self.throughput:.3g} inferred a second; {self.infer_throughput:.3g} by the network alone")
        if self.frames_kept:
            parts.append(f"{self.frames_kept} of those out were there from an earlier run")
        if self.cuts:
            parts.append(f"{self.cuts} cuts not blended")
        if self.duplicates:
            parts.append(f"{self.duplicates} duplicates replaced")
        return "; ".join(parts)


def total(parts: Sequence[Summary], frames_kept: int) -> Summary:
    """The sum over the parts of one job that this run made, and ``frames_kept`` of the others."""
    sums: dict[str, Any] = {
        key: sum(getattr(part, key) for part in parts)
        for key in ("frames_in", "frames_out", "inferred", "cuts", "duplicates", "seconds", "infer_seconds")
    }
    return Summary(
        **sums | {"frames_out": sums["frames_out"] + frames_kept},
        devices=parts[-1].devices if parts else 0,
        end=max((part.end for part in parts), default=0.0),  # the last may have no frames
        complete=all(part.complete for part in parts),
        frames_kept=frames_kept,
    )
