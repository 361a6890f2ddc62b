"""What a run is made of, as frozen options; the defaults are those of the paper for Vimeo90K where it gives them."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass, field
from typing import Any


class Schedule(enum.Enum):
    """How the learning rate moves after the warm-up."""

    COSINE = "cosine"
    """From ``rate`` to ``final_rate`` over ``steps``, as published."""

    CONSTANT = "constant"
    """Stays at ``rate``: a run that can be extended any number of times and cooled down by a second, cosine one."""


class Precision(enum.Enum):
    """Arithmetic of the convolutions; flow, warps and losses are float32 in both."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of the loss terms.

    Attributes:
        reconstruction: as published; 0 skips the image losses, for a run that learns flow alone.
        geometry, distillation: as published.
        psnr: of minus the PSNR in dB, not in the paper; 0 turns it off.
        flow: of the direct multi-scale flow loss at step 0; it halves every ``flow_half_life`` steps down to
            ``flow_floor``. 0 turns it off, as published.
        flow_knee: motion in pixels at which an error in the direct flow losses counts half of what it does at rest,
            since much faster scenes count by the share of their motion that is missed; 0 counts all pixels alike.
        coarse: of the direct flow loss of the two coarse decoders on scenes of their own, wider and of larger motion
            than ``crop`` holds, see :class:`WideScenes`. 0 turns it off, as published.
    """

    reconstruction: float = 1.0
    geometry: float = 0.01
    distillation: float = 0.01
    psnr: float = 0.0
    flow: float = 0.0
    flow_floor: float = 0.0
    flow_half_life: int = 4000
    flow_knee: float = 0.0
    coarse: float = 0.0

    def flow_at(self, step: int) -> float:
        """Weight of the direct flow loss at a step."""
        return max(self.flow_floor, self.flow * float(0.5 ** (step / self.flow_half_life)))


@dataclass(frozen=True, kw_only=True)
class WideScenes:
    """Scenes of synthetic motion for the coarse flow loss; a pixel costs a quarter of what it does in a whole step.

    Attributes:
        side: of the scenes in pixels, a multiple of 16.
        batch: scenes per step and process.
        slowest, fastest: of the background from frame 0 to frame 1 in pixels, log-uniform.
    """

    side: int = 384
    batch: int = 2
    slowest: float = 12.0
    fastest: float = 160.0


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Everything that decides the outcome of a run.

    Attributes:
        variant: key in :data:`ifrnet.variants.VARIANTS`.
        steps: optimiser steps of the whole run.
        batch: samples per step and process.
        crop: side of the square crops in pixels, a multiple of 16.
        rate, final_rate: learning rate of AdamW at the start and, with the cosine, at the end.
        beta2: how long AdamW remembers squared gradients; 0.99 forgets those of the first steps sooner.
        muon: rate of Muon, for the convolutions, over that of AdamW, for the rest; 0 for AdamW alone.
        warmup: steps over which the rate rises linearly from zero.
        clip: largest norm of the gradient; 0 for no clipping, as published.
        average: decay of the running average of the weights that is evaluated and exported; 0 for none, as published.
        estimated_trust: what an estimated flow counts for in the direct flow loss, beside 1 of an exact one; the
            published distillation weighs flows by itself.
        estimator: of the flows of clips, key in :data:`ifrnet.training.flow.FLOW_ESTIMATORS`.
        fastest: of the synthetic motion's background, in pixels from frame 0 to frame 1. Random weights that are shown
            40 px from the start still had zero flow after 1000 steps: begin with slow motion and small crops.
        wide: scenes of the coarse flow loss.
        coarsest: scenes of a run of the coarsest decoder alone, see :mod:`ifrnet.training.coarsest`; 0 for all of it.
        resident: clips and pictures stay where the network trains, see :mod:`ifrnet.training.resident`.
        seed: of the initial weights and of every sample.
        data: what it learns from, as given to ``--data``.
        world: processes; each takes ``batch`` samples of a step.
    """

    variant: str = "ifrnet_s"
    steps: int = 300 * 51313 // 24
    batch: int = 24
    crop: int = 224
    rate: float = 1e-4
    final_rate: float = 1e-5
    beta2: float = 0.999
    muon: float = 0.0
    warmup: int = 0
    schedule: Schedule = Schedule.COSINE
    clip: float = 0.0
    average: float = 0.0
    precision: Precision = Precision.FLOAT32
    weights: LossWeights = field(default_factory=LossWeights)
    wide: WideScenes = field(default_factory=WideScenes)
    coarsest: int = 0
    estimated_trust: float = 0.3
    estimator: str = "dis"
    fastest: float = 40.0
    resident: bool = False
    seed: int = 0
    data: tuple[str, ...] = ()
    world: int = 1

    def as_record(self) -> dict[str, Any]:
        """Plain values, for the state file and the provenance."""
        record = asdict(self)
        record["schedule"] = self.schedule.value
        record["precision"] = self.precision.value
        record["data"] = list(self.data)
        return record


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What concerns the machine and not the outcome.

    Attributes:
        workers: processes that make samples; 0 makes them in the training process.
        threads: threads of PyTorch in the training process; None leaves its choice.
        save_seconds: time between two states on disk.
        evaluate_steps: steps between two evaluations; 0 for none.
        log_steps: steps between two rows of the log.
        compile: have the step compiled: three minutes at the start, then 1.27 times as fast in bfloat16 and 1.09 times
            in float32 (two crops of 256 px on one core of an AMD EPYC with AVX512_BF16).
    """

    workers: int = 1
    threads: int | None = None
    save_seconds: float = 120.0
    evaluate_steps: int = 1000
    log_steps: int = 50
    compile: bool = False
