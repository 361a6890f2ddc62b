"""Multiply-adds of each layer, from the original network's shapes: what shares of the work are measured in."""

from __future__ import annotations

from collections.abc import Collection

from ifrnet.variants import FLOW_CHANNELS, LEVELS, Variant


def layer_work(variant: Variant) -> dict[str, float]:
    """Layer -> multiply-adds a pixel of the padded frame, for one frame between two.

    A head counts as the transposed convolution of the published network, whatever form it runs in.
    """
    work: dict[str, float] = {}
    inputs, kernel = 3, variant.first_kernel
    for level, width in enumerate(variant.widths, start=1):
        area = 2 / 4**level  # both frames pass the encoder
        work[f"encoder.pyramid{level}.0.0"] = area * inputs * width * kernel**2
        work[f"encoder.pyramid{level}.1.0"] = area * width**2 * 9
        inputs, kernel = width, 3
    for level in range(LEVELS, 0, -1):
        area, width = 1 / 4**level, variant.decoder_width(level)
        side = variant.decoder_inputs(level) - width
        outputs = variant.decoder_outputs(level)
        flow = outputs if level == 1 else FLOW_CHANNELS
        name = f"decoder{level}"
        work[f"{name}.features"] = area * width**2 * 9
        work[f"{name}.side"] = area * side * width * 9
        for i in range(1, 6):
            channels = variant.side if i in (2, 4) else width
            work[f"{name}.block.conv{i}" + (".0" if i < 5 else "")] = area * channels**2 * 9
        work[f"{name}.flow.conv"] = area * width * flow * 16
        if flow < outputs:
            work[f"{name}.rest.conv"] = area * width * (outputs - flow) * 16
    return work


def share(variant: Variant, layers: Collection[str]) -> float:
    """The part of all convolutions' multiply-adds that ``layers`` do, in [0, 1]."""
    work = layer_work(variant)
    return sum(work[name] for name in layers) / sum(work.values())
