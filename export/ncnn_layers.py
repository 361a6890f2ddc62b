"""The float32 island of an ncnn network, written into its ``.param`` so that every ncnn app keeps it.

ncnn chooses half precision by options of the app, for the whole network. A feature mask on a layer (``31=``) excludes
it, but ncnn does not convert what a masked layer receives (1.0.20261020: a masked layer that is fed bfloat16 reads it
as float32 and corrupts memory). So values enter the island through a layer that knows float32 only and leaves
numbers as they are: ``Power`` with its defaults, ``(0 + 1 x) ** 1``, which ncnn feeds float32 under every option.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from export.island import float32_island
from runtimes.backends.ncnn_layers import MAGIC, Layer, read_layers

NO_HALF_ARITHMETIC, NO_HALF_STORAGE, NO_BFLOAT16, NO_VULKAN = 1, 2, 4, 16
"""Bits of ncnn's ``31=``."""

FLOAT32_MASK = NO_HALF_ARITHMETIC | NO_HALF_STORAGE | NO_BFLOAT16 | NO_VULKAN
"""Masking storage alone breaks ncnn's Vulkan shaders, and there is no Vulkan GridSample: the island is on the CPU."""

BRIDGE = "Power"

CONVOLUTIONS = ("Convolution", "Deconvolution")

SAMPLER = "GridSample"
"""Not masked: it knows float32 only, and takes features in half precision as well, which ncnn converts for it."""


def write_layers(layers: Iterable[Layer]) -> str:
    """A ``.param`` text."""
    layers = list(layers)
    lines = [str(layer) for layer in layers]
    blobs = {blob for layer in layers for blob in layer.outputs}
    return "\n".join((MAGIC, f"{len(lines)} {len(blobs)}", *lines)) + "\n"


def producers(layers: list[Layer]) -> dict[str, int]:
    """Blob name -> index of the layer that gives it."""
    return {blob: i for i, layer in enumerate(layers) for blob in layer.outputs}


def island_of(layers: list[Layer]) -> set[int]:
    """Indices of the layers that run in float32; see :func:`export.island.float32_island`."""
    producer = producers(layers)
    before = [[producer[blob] for blob in layer.inputs] for layer in layers]

    def is_head(i: int) -> bool:
        cuts = layers[i].kind == "Slice" and any(layers[j].kind in CONVOLUTIONS for j in before[i])
        return cuts or layers[i].kind in CONVOLUTIONS

    return float32_island(
        before,
        convolutions={i for i, layer in enumerate(layers) if layer.kind in CONVOLUTIONS},
        samplers={i for i, layer in enumerate(layers) if layer.kind == SAMPLER},
        is_head=is_head,
    )


def keep_float32(param: str) -> str:
    """The same network with its float32 island masked, and a bridge wherever half precision enters it."""
    layers = read_layers(param)
    island, producer = island_of(layers), producers(layers)
    result: list[Layer] = []
    bridged: dict[str, str] = {}
    for i, layer in enumerate(layers):
        if i in island and layer.kind not in ("Input", SAMPLER):
            for blob in layer.inputs:
                if producer[blob] not in island and blob not in bridged:
                    bridged[blob] = f"{blob}_float32"
                    result.append(Layer(kind=BRIDGE, name=f"float32_{blob}", inputs=(blob,), outputs=(bridged[blob],)))
            inputs = tuple(bridged.get(blob, blob) for blob in layer.inputs)
            layer = replace(layer, inputs=inputs, parameters=(*layer.parameters, f"31={FLOAT32_MASK}"))
        result.append(layer)
    return write_layers(result)
