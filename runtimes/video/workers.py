"""The artifact, loaded once for each device, with whatever is wrapped around it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction

import runtimes
from runtimes.contract import Timesteps
from runtimes.frames import Array
from runtimes.video.interpolators import Interpolate, Meter, averaged, stepping, tiled, with_alpha
from runtimes.video.options import InferOptions
from runtimes.video.plan import Picture, Segment
from runtimes.video.timeline import Slot


@dataclass(frozen=True)
class SlotPicture:
    """A picture for an output slot: a source picture as it is, or an interpolated (H, W, 3) RGB array."""

    slot: Slot
    picture: Picture | Array


@dataclass(frozen=True, kw_only=True)
class Worker:
    """One device's way to make frames, and the meter on it."""

    meter: Meter
    interpolate: Interpolate

    def __call__(self, segment: Segment) -> list[SlotPicture]:
        """The pictures of a segment. Across a cut the nearer one is repeated, which is the later one from half-way."""
        left, right = segment.left, segment.right
        if right is None or segment.cut:
            return [
                SlotPicture(slot, left if right is None or t < Fraction(1, 2) else right)
                for slot, t in zip(segment.slots, segment.steps, strict=True)
            ]
        wanted = [t for t in segment.steps if t]
        made = iter(self.interpolate(left.rgb, right.rgb, wanted) if wanted else [])
        return [
            SlotPicture(slot, next(made) if t else left) for slot, t in zip(segment.slots, segment.steps, strict=True)
        ]


@dataclass(frozen=True, kw_only=True)
class Workers:
    """All devices of a job."""

    all: tuple[Worker, ...]
    timesteps: Timesteps

    @property
    def spent(self) -> tuple[int, float]:
        """Frames made so far, and the seconds that took, summed over devices."""
        return sum(worker.meter.frames for worker in self.all), sum(worker.meter.seconds for worker in self.all)


def load_workers(options: InferOptions, stack: ExitStack) -> Workers:
    """Load the artifact on each device; the runtimes close with ``stack``.

    Raises:
        RuntimesError: see :func:`runtimes.load`.
    """
    workers = []
    for device in options.devices:
        runtime = stack.enter_context(runtimes.load(options.artifact, device=device, threads=options.threads))
        meter = Meter(runtime)
        inner: Interpolate = meter if options.tile is None else tiled(meter, options.tile, options.overlap)
        if options.tta:
            inner = averaged(inner)
        workers.append(Worker(meter=meter, interpolate=stepping(with_alpha(inner), runtime.spec.timesteps)))
        timesteps = runtime.spec.timesteps
    return Workers(all=tuple(workers), timesteps=timesteps)
