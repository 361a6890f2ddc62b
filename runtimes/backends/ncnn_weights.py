"""The bytes of ncnn's ``.bin``, which follow each other as the layers of the ``.param`` do, without any table.

Source: ncnn's wiki "param and model file structure", and its ``ModelBin`` (1.0.20261020).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from runtimes.backends.ncnn_layers import Layer
from runtimes.contract import Precision

INT8_TAG = 0x000D4B38
"""Before weights in int8; they are filled up to a multiple of four bytes."""


class Stored(StrEnum):
    """How the weights of a layer stand in the file."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"


TAGS = {
    0: Stored.FLOAT32,
    0x0002C056: Stored.FLOAT32,
    0x01306B47: Stored.FLOAT16,
    0x01348B83: Stored.BFLOAT16,
    INT8_TAG: Stored.INT8,
}

WIDTHS = {Stored.FLOAT32: 4, Stored.FLOAT16: 2, Stored.BFLOAT16: 2, Stored.INT8: 1}
"""Bytes of one weight."""

FLOATS_OUT, INT8_OUT = 2, 102
"""Values of ``8=`` of a convolution in int8: it gives float32, or int8 for the next one."""

WEIGHTED = ("Convolution", "Deconvolution", "PReLU", "MemoryData")
"""Layer types that have weights, of those that an exported network consists of."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What one layer has in the file.

    Attributes:
        layer: whose they are.
        stored: how its kernel is stored.
        kernel: its bytes, filled up to a multiple of four.
        rest: bias, then in int8 the scales: of each output channel, of the input, and of an output in int8.
    """

    layer: Layer
    stored: Stored
    kernel: bytes
    rest: NDArray[np.float32]

    @property
    def scales(self) -> NDArray[np.float32]:
        """The int8 steps in one unit: of each output channel's weights, then of the input; empty in float."""
        return self.rest[-scale_count(self.layer) :] if scale_count(self.layer) else self.rest[:0]


def read_weights(layers: Sequence[Layer], data: bytes) -> list[Weights]:
    """The weights of a network, layer by layer.

    Args:
        layers: of the ``.param``, whose numbers are known to be whole and in bounds.
        data: of the ``.bin``.

    Raises:
        ValueError: the bytes are of other layers, or ncnn would read them as something else than they are.
    """
    reader, found = _Reader(data), []
    for layer in layers:
        if layer.kind in WEIGHTED:
            found.append(_read(layer, reader))
    if reader.offset != len(data):
        raise ValueError(f"its layers have {reader.offset} bytes of weights, the .bin has {len(data)}")
    return found


def check_int8(weights: Sequence[Weights], precision: Precision) -> None:
    """Raises ValueError where a network of another precision has int8 weights, or one in int8 has none."""
    found = sum(item.stored is Stored.INT8 for item in weights)
    if (found > 0) != (precision is Precision.INT8):
        raise ValueError(f"{found} layers have int8 weights, and the manifest says {precision}")


def _read(layer: Layer, reader: _Reader) -> Weights:
    stored = reader.tag(layer) if is_tagged(layer) else Stored.FLOAT32
    kernel = reader.take(-(-weight_count(layer) * WIDTHS[stored] // 4) * 4, layer)
    outputs = int(layer.numbers.get("0", "0"))
    has_bias = layer.kind in ("Convolution", "Deconvolution") and layer.numbers.get("5", "0") != "0"
    length = (outputs if has_bias else 0) + scale_count(layer)
    rest = np.frombuffer(reader.take(4 * length, layer), "<f4")
    weights = Weights(layer=layer, stored=stored, kernel=kernel, rest=rest)
    _check(weights)
    return weights


def _check(weights: Weights) -> None:
    """Raises ValueError where ncnn would take integers for floats or floats for integers, or lacks a scale."""
    layer, term = weights.layer, weights.layer.numbers.get("8", "0") if weights.layer.kind == "Convolution" else "0"
    if layer.kind == "Convolution" and layer.numbers.get("19", "0") != "0":
        raise ValueError(f"layer {layer.name[:40]} takes its weights from another layer")
    if term not in ("0", str(FLOATS_OUT), str(INT8_OUT)) or (term == "0") == (weights.stored is Stored.INT8):
        raise ValueError(f"layer {layer.name[:40]} has weights in {weights.stored} and states 8={term[:20]}")
    if not np.all((weights.scales > 0) & (weights.scales < np.inf)):
        raise ValueError(f"layer {layer.name[:40]} has a scale that is none")


def is_tagged(layer: Layer) -> bool:
    """Whether a tag before its weights says how they are stored; otherwise they are float32."""
    if layer.kind == "MemoryData":
        return layer.numbers.get("21", "1") == "0"
    return layer.kind in ("Convolution", "Deconvolution")


def weight_count(layer: Layer) -> int:
    """How many weights a layer of :data:`WEIGHTED` states, without bias and scales; ValueError where that is none."""
    if layer.kind in ("Convolution", "Deconvolution"):
        return int(layer.numbers.get("6", "0"))
    keys = ("0",) if layer.kind == "PReLU" else ("0", "1", "11", "2")
    sides = [int(layer.numbers.get(key, "0")) for key in keys]
    if min(sides) < 0:
        raise ValueError(f"layer {layer.name[:40]} has a side of {min(sides)}")
    return math.prod(side or 1 for side in sides)  # a side that is 0 or missing is none


def scale_count(layer: Layer) -> int:
    """How many scales a layer has: none unless it is a convolution in int8."""
    term = layer.numbers.get("8", "0")
    if layer.kind != "Convolution" or term == "0":
        return 0
    return int(layer.numbers.get("0", "0")) + 1 + int(term == str(INT8_OUT))


class _Reader:
    """Takes bytes from front to back."""

    def __init__(self, data: bytes) -> None:
        self.data, self.offset = data, 0

    def take(self, size: int, layer: Layer) -> bytes:
        if not 0 <= size <= len(self.data) - self.offset:
            raise ValueError(
                f"layer {layer.name[:40]} needs {self.offset + size} bytes of weights up to it, the .bin has "
                f"{len(self.data)}"
            )
        self.offset += size
        return self.data[self.offset - size : self.offset]

    def tag(self, layer: Layer) -> Stored:
        tag = int.from_bytes(self.take(4, layer), "little")
        if tag not in TAGS:
            raise ValueError(f"layer {layer.name[:40]} has weights that are stored as {tag:#010x}")
        return TAGS[tag]
