"""From samples to scales: ranges of the reference, clips of least squared error, and where it all came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from calibration.ranges import Pair, calibration_graph, collect, convolutions
from calibration.samples import MOTION_BINS, SampleSet
from export.int8.quantize import LEVELS
from export.int8.recipe import int8_layers, scale_owner
from export.int8.scales import Scales
from ifrnet import IFRNet, Timesteps
from runtimes.environment import package_versions

STEPS = {Timesteps.MIDDLE: (0.5,), Timesteps.ANY: (0.25, 0.5, 0.75)}
"""Times at which a checkpoint is calibrated, taken in turn."""

SMALLEST = 1e-8
"""Scale of a layer that only ever sees zeros (a network with dead channels), where any scale is exact."""

Wrap = Callable[[Iterable[Pair]], Iterable[Pair]]
"""Put around the pairs, for a progress bar."""


def calibrate(
    model: IFRNet, picked: SampleSet, *, source: str, seed: int, wrap: Wrap = iter, everything: bool = False
) -> Scales:
    """Scales of the layers that the recipe makes int8.

    Clipping where the squared error is least loses 0.003 dB on the first weights, the largest value 0.018 dB.

    Args:
        model: the reference.
        picked: the samples.
        source: what they are of, for the record.
        seed: that picked them, for the record.
        wrap: see :data:`Wrap`.
        everything: also the layers that the recipe keeps in float, to measure what they would lose.
    """
    info = model.info
    assert info is not None
    pairs = ((sample.frame0, sample.frame1) for sample in picked.samples)
    histograms = collect(model, wrap(pairs), STEPS[info.timesteps])
    clips = {name: histogram.best_clip() for name, histogram in histograms.items()}
    names = tuple(convolutions(calibration_graph(model)))
    layers = names if everything else int8_layers(names)
    network = {"network": info.network} if info.network else {}
    return Scales(
        checkpoint={"name": info.name, "source": info.source, "sha256": info.sha256, **network},
        scales={name: max(clips[scale_owner(name)] / LEVELS, SMALLEST) for name in layers},
        provenance={
            "method": "symmetric, clipped where the squared error is least; weights per channel",
            "command": f"python -m calibration scales --samples {len(picked.samples)} --seed {seed}",
            "source": source,
            "seed": seed,
            "pairs": len(picked.samples),
            "pairs_by_motion": dict(zip(_bin_names(), picked.bins, strict=True)),
            "frames": "{1}x{0}".format(*picked.samples[0].frame0.shape),
            "samples_sha256": picked.sha256,
            "tools": package_versions(("ifrnet-export", "torch", "numpy", "av")),
        },
    )


def _bin_names() -> list[str]:
    ends = [f"{end:g} px" for end in MOTION_BINS]
    return [f"up to {end}" for end in ends] + [f"above {ends[-1]}"]
