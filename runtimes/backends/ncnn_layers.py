"""The text of ncnn's ``.param``, layer by layer; ncnn itself trusts every number in it.

Source: ncnn's wiki "param and model file structure".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAGIC = "7767517"

MAX_LAYERS = 10_000

MAX_NUMBER = 2**26
"""Largest whole number among the parameters of a layer: more weights than IFRNet has, or a larger frame."""

LARGEST = {"Convolution": 64, "Deconvolution": 64, "Pooling": 16384}
"""Layer type -> its largest kernel, stride, dilation or padding in pixels; none of them may be negative."""

STEPS = ("1", "11", "2", "12", "3", "13")
"""Kernel, dilation and stride of a convolution, across and down: 1 at least, for ncnn divides by them.

Of a pooling the first four are kernel and stride.
"""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One line of a ``.param``: type, name, blob names, and parameters as text."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts = (str(len(self.inputs)), str(len(self.outputs)))
        return " ".join((self.kind, self.name, *counts, *self.inputs, *self.outputs, *self.parameters))

    @property
    def numbers(self) -> dict[str, str]:
        """Parameters by their number, as text."""
        return dict(item.partition("=")[::2] for item in self.parameters)


def read_layers(param: str) -> list[Layer]:
    """The layers of a ``.param`` text, in order.

    Raises:
        ValueError: a line that is none of a layer.
    """
    layers = []
    for line in param.splitlines()[2:]:
        if not line.strip():
            continue
        kind, name, inputs, outputs, *rest = line.split()
        middle, end = int(inputs), int(inputs) + int(outputs)
        if not 0 <= middle <= end <= len(rest):
            raise ValueError(f"layer {name[:40]} states {inputs[:20]} inputs and {outputs[:20]} outputs")
        layers.append(
            Layer(
                kind=kind,
                name=name,
                inputs=tuple(rest[:middle]),
                outputs=tuple(rest[middle:end]),
                parameters=tuple(rest[end:]),
            )
        )
    return layers


def checked_layers(param: str) -> list[Layer]:
    """The same, once it is known that ncnn can read them: it writes beyond its memory where a count is wrong.

    Their weights are held against the ``.bin`` by :func:`runtimes.backends.ncnn_weights.read_weights`.

    Raises:
        ValueError: what does not fit.
    """
    head = [line.split() for line in param.splitlines()[:2]]
    layers = read_layers(param)
    if len(head) < 2 or head[0] != [MAGIC] or len(head[1]) != 2:
        raise ValueError(f"it does not begin with {MAGIC} and two counts")
    outputs = [blob for layer in layers for blob in layer.outputs]
    counts = [int(text) for text in head[1]]
    if counts != [len(layers), len(outputs)] or not 0 < len(layers) <= MAX_LAYERS:
        raise ValueError(f"{len(layers)} layers and {len(outputs)} blobs; it states {counts[0]} and {counts[1]}")
    known: set[str] = set()
    for layer in layers:
        _check_layer(layer, known)
        known.update(layer.outputs)
    return layers


def _check_layer(layer: Layer, known: set[str]) -> None:
    """Raises ValueError where a layer reads what no layer before gives, or has a parameter that is none."""
    unknown = [blob for blob in layer.inputs if blob not in known]
    again = [blob for blob in layer.outputs if blob in known]
    if unknown or again or len(set(layer.outputs)) < len(layer.outputs):
        raise ValueError(f"layer {layer.name[:40]} reads blobs that are not there, or gives one for the second time")
    if len(layer.numbers) < len(layer.parameters):
        raise ValueError(f"layer {layer.name[:40]} has a parameter twice")
    for key, value in layer.numbers.items():
        if not key.lstrip("-").isdigit() or not value:
            raise ValueError(f"layer {layer.name[:40]} has the parameter {key[:20]}={value[:20]}")
        if value.startswith('"'):
            continue
        parts = value.split(",")
        if int(key) <= -23300 and parts[0] != str(len(parts) - 1):
            raise ValueError(f"layer {layer.name[:40]} has a list of another length than it states")
        if not all(abs(float(part)) <= MAX_NUMBER for part in parts):
            raise ValueError(f"layer {layer.name[:40]} has the parameter {key[:20]}={value[:20]}")
    if layer.kind in LARGEST:
        _check_window(layer)


def _check_window(layer: Layer) -> None:
    """Raises ValueError where a convolution or a pooling has a window that is none, or weights for another."""
    pooling = layer.kind == "Pooling"
    numbers = {key: int(value) for key, value in layer.numbers.items() if value.lstrip("-").isdigit()}
    steps: Sequence[str] = STEPS
    if pooling:
        steps = () if numbers.get("4") else STEPS[:4]  # 4: over the whole frame, without a window
    for key, value in numbers.items():
        smallest, largest = int(key in steps), MAX_NUMBER if key in ("0", "6") else LARGEST[layer.kind]
        if not smallest <= value <= largest:
            raise ValueError(f"layer {layer.name[:40]} has the parameter {key}={value}")
    outputs, across = numbers.get("0", 0), numbers.get("1", 1)
    if not pooling and (outputs < 1 or numbers.get("6", 0) % (outputs * across * numbers.get("11", across))):
        raise ValueError(f"layer {layer.name[:40]} has {numbers.get('6', 0)} weights for {outputs} outputs")
