"""What a loaded ncnn network really computed in int8, told from its numbers.

ncnn's Python binding does not show how a layer runs. But a convolution in int8 gives, after its bias, whole multiples
of (scale of the input x scale of the channel's weights), and one in float does not: half of its results are more than
a quarter of such a step away from the next multiple. A layer that gives its bias alone would give it in either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import SentinelError
from export.ncnn_int8 import Quantized
from runtimes.backends.ncnn import INPUTS, as_blob
from runtimes.backends.ncnn_layers import read_layers
from runtimes.backends.ncnn_weights import Stored, Weights, read_weights
from runtimes.contract import Size
from runtimes.frames import to_tensor
from runtimes.scene import Scene

LARGEST_REST = 0.05
"""Of a step, in the median: 0.25 in float, 1e-3 in int8, where float32 rounds sums of some ten thousand steps."""

ROWS = 64
"""Looked at from the middle of what a layer gives."""


def int8_layers(folder: Path, quantized: Sequence[Quantized], size: Size, options: Mapping[str, bool]) -> list[str]:
    """The layers of the recipe that ncnn runs in int8 on the CPU, in the files of ``folder``, so far as that shows.

    Args:
        folder: with ``model.param`` and ``model.bin``.
        quantized: what the graph stated.
        size: of the frames.
        options: of ncnn.

    Raises:
        SentinelError: a layer that the files hold in int8 gave numbers that int8 does not give.
    """
    names = {item.weight.tobytes(): item.name for item in quantized}
    text, path = (folder / "model.param").read_text(encoding="ascii"), folder / "model.bin"
    held = [item for item in read_weights(read_layers(text), path.read_bytes()) if item.stored is Stored.INT8]
    net = _load(text, path, options)
    found = []
    with net.create_extractor() as extractor:
        extractor.set_light_mode(True)  # layers in the file's order: none is computed twice, nothing is kept
        t = np.full((1, 1, 1, 1), 0.5, np.float32)
        for name, value in zip(INPUTS, (*map(to_tensor, Scene.of(size).frames()), t), strict=True):
            extractor.input(name, as_blob(value))
        for item in held:
            code, blob = extractor.extract(item.layer.outputs[0])
            name = names[item.kernel[: int(item.layer.numbers["6"])]]
            if code != 0 or between_steps(item, np.array(blob)):
                raise SentinelError(f"sentinel int8-layers: ncnn runs {name} ({item.layer.name}) in float")
            found.append(name)
    return sorted(set(found))


def between_steps(item: Weights, result: NDArray[np.float32]) -> bool:
    """Whether (C, H, W) float32 lie between the layer's steps; False where it gives its bias alone, and nothing shows.

    Then weights or inputs are zero in int8, whatever ran: what that loses, parity and the quality gate measure.
    """
    channels = len(result)
    per_unit = (item.scales[:channels] * item.scales[channels]).astype(np.float64)  # steps in 1.0
    bias = item.rest[: -len(item.scales)] if len(item.rest) > len(item.scales) else np.zeros(channels, np.float32)
    top = max(0, (result.shape[1] - ROWS) // 2)
    steps = (result[:, top : top + ROWS] - bias[:, None, None].astype(np.float64)) * per_unit[:, None, None]
    steps = steps[np.abs(steps) > 0.5]
    return steps.size > 0 and float(np.median(np.abs(steps - np.rint(steps)))) >= LARGEST_REST


def _load(param: str, weights: Path, options: Mapping[str, bool]) -> Any:
    import ncnn

    net = ncnn.Net()
    for name, value in options.items():
        setattr(net.opt, name, value)
    if net.load_param_mem(param) or net.load_model(str(weights)):
        raise SentinelError("sentinel int8-layers: ncnn cannot load what was written")
    return net
