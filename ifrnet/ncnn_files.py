"""ncnn's two files: the text of a ``.param`` to layers, the bytes of its ``.bin`` to flat weights.

Sources: ncnn's wiki "param and model file structure", and the behaviour of its ModelBin reader.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ifrnet.errors import CheckpointError

MAGIC = "7767517"
MAX_LAYERS = 2000
MAX_FIELD = 200
MAX_ELEMENTS = 2**26

RAW_TAGS = (0x00000000, 0x0002C056)
"""Weights follow as float32."""

HALF_TAG = 0x01306B47
"""Weights follow as float16, padded to a multiple of four bytes."""

REFUSED_TAGS = MappingProxyType({0x000D4B38: "int8"})

WEIGHTLESS = frozenset({"Input", "Split", "Concat", "Slice", "BinaryOp", "Eltwise", "Interp", "Sigmoid", "Warp"})
WEIGHTED = frozenset({"Convolution", "Deconvolution", "PReLU"})

Number = int | float
Params = dict[int, Number | list[Number]]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One line of the graph. Inputs that are copies made by a Split have the name of the original."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: Params


@dataclass(frozen=True, kw_only=True)
class Blobs:
    """Weights of one layer as they lie in the file, flat float32."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None = None


def parse_param(param: bytes, source: str) -> list[Layer]:
    """The layers of a ``.param`` in the order of the file, which is that of the weights; Splits are resolved.

    Raises:
        CheckpointError: not the text form of an ncnn graph, or one with layers that IFRNet does not have.
    """
    try:
        lines = [line.split() for line in param.decode("ascii").splitlines() if line.strip()]
        if lines[0] != [MAGIC]:
            raise ValueError(f"first line is not {MAGIC}")
        count = int(lines[1][0])
        if count != len(lines) - 2 or count > MAX_LAYERS:
            raise ValueError(f"{count} layers announced, {len(lines) - 2} found, at most {MAX_LAYERS} expected")
        parsed = [_parse_layer(fields) for fields in lines[2:]]
    except (ValueError, IndexError) as error:
        raise CheckpointError(
            f"{source} is no ncnn graph in text form ({str(error)[:160]}): fetch it again, or if it is a binary "
            "param file, take the text one"
        ) from error
    origin: dict[str, str] = {}  # blob -> the blob before any Split
    layers = []
    for layer in parsed:
        if layer.kind not in WEIGHTLESS | WEIGHTED:
            raise CheckpointError(f"{source}: layer {layer.name} is a {layer.kind}, which IFRNet does not have")
        if any(blob not in origin for blob in layer.inputs) or any(blob in origin for blob in layer.outputs):
            raise CheckpointError(
                f"{source}: layer {layer.name} reads a blob before it is written, or writes one for the second time"
            )
        inputs = tuple(origin[blob] for blob in layer.inputs)
        split = layer.kind == "Split" and len(inputs) == 1
        origin.update({blob: inputs[0] if split else blob for blob in layer.outputs})
        layers.append(
            Layer(kind=layer.kind, name=layer.name, inputs=inputs, outputs=layer.outputs, params=layer.params)
        )
    return layers


def _parse_layer(fields: list[str]) -> Layer:
    """Read ``kind name inputs outputs <inputs> <outputs> <id=value>``. Raises ValueError or IndexError."""
    kind, name, inputs, outputs = fields[0], fields[1], int(fields[2]), int(fields[3])
    if min(inputs, outputs) < 0 or len(fields) < 4 + inputs + outputs or max(map(len, fields)) > MAX_FIELD:
        raise ValueError(f"layer {name[:40]} is cut short or has no end")
    blobs, options = fields[4 : 4 + inputs + outputs], fields[4 + inputs + outputs :]
    params: Params = {}
    for option in options:
        key, _, value = option.partition("=")
        number = int(key)
        if number <= -23300:  # an array: its length, then its values
            items = [_number(item) for item in value.split(",")]
            if items[0] != len(items) - 1:
                raise ValueError(f"layer {name[:40]} has an array of a wrong length")
            params[-23300 - number] = items[1:]
        else:
            params[number] = _number(value)
    return Layer(
        kind=kind.rpartition(".")[2] if kind.endswith(".Warp") else kind,
        name=name,
        inputs=tuple(blobs[:inputs]),
        outputs=tuple(blobs[inputs:]),
        params=params,
    )


def _number(text: str) -> Number:
    return int(text) if text.lstrip("-").isdigit() else float(text)


class _Cursor:
    """Reads a ``.bin`` from front to back."""

    def __init__(self, data: bytes, source: str) -> None:
        self.data, self.source, self.offset = data, source, 0

    def take(self, size: int, layer: Layer) -> bytes:
        if not 0 < size <= len(self.data) - self.offset:
            raise CheckpointError(
                f"{self.source}: its .bin ends inside layer {layer.name} ({len(self.data)} bytes, needed at least "
                f"{self.offset + size}); it is cut short or belongs to another .param: fetch both again"
            )
        self.offset += size
        return self.data[self.offset - size : self.offset]

    def raw(self, count: int, layer: Layer) -> NDArray[np.float32]:
        return np.frombuffer(self.take(4 * count, layer), "<f4").astype(np.float32)

    def tagged(self, count: int, layer: Layer) -> NDArray[np.float32]:
        """Convolution weights begin with a tag that says how they are stored."""
        tag = int.from_bytes(self.take(4, layer), "little")
        if tag in RAW_TAGS:
            return self.raw(count, layer)
        if tag == HALF_TAG:
            data = self.take(-(-2 * count // 4) * 4, layer)
            return np.frombuffer(data, "<f2")[:count].astype(np.float32)
        raise CheckpointError(
            f"{self.source}: layer {layer.name} is stored as {REFUSED_TAGS.get(tag, f'0x{tag:08x} (quantised?)')}, "
            "which is a rounded copy of the trained weights; expected float32 or float16: take the release's original"
        )


def read_blobs(layers: list[Layer], data: bytes, source: str) -> dict[str, Blobs]:
    """Layer name -> its weights; the file has to end with the last of them.

    Raises:
        CheckpointError: the sizes do not fit, or the weights are quantised.
    """
    cursor = _Cursor(data, source)
    blobs: dict[str, Blobs] = {}
    for layer in layers:
        if layer.kind not in WEIGHTED:
            continue
        if layer.name in blobs:
            raise CheckpointError(f"{source}: two layers are called {layer.name}")
        outputs = _count(layer, 0, source)
        if layer.kind == "PReLU":
            blobs[layer.name] = Blobs(weight=cursor.raw(outputs, layer))
        else:
            weight = cursor.tagged(_count(layer, 6, source), layer)
            blobs[layer.name] = Blobs(weight=weight, bias=cursor.raw(outputs, layer))
    if cursor.offset != len(data):
        raise CheckpointError(
            f"{source}: its .bin has {len(data)} bytes, but the layers need {cursor.offset}; the two files are not of "
            "the same model: fetch both again"
        )
    return blobs


def _count(layer: Layer, key: int, source: str) -> int:
    """A parameter that is a number of outputs or of weights."""
    value = layer.params.get(key)
    if not isinstance(value, int) or not 0 < value <= MAX_ELEMENTS:
        raise CheckpointError(f"{source}: layer {layer.name} has {key}={value}; expected a positive number of elements")
    return value
