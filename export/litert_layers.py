"""What is read back from a ``.tflite`` file, and the checks of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import run_sentinels
from export.litert_file import CONVOLUTIONS, File, Operator
from runtimes.contract import INPUT_NAMES, OUTPUT_NAME, Precision, Size

WARPS = 4
"""One on each of three levels and one of the frames, each of a batch of two."""

LOOKUPS = 4
"""Pixels around a sampling position."""

STORED = {Precision.FP32: "float32", Precision.FP16: "float16", Precision.INT8: "int8"}

GPU_LISTED = frozenset(
    (
        *("ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "EXP", "FULLY_CONNECTED"),
        *("LOGICAL_AND", "LOGISTIC", "LSTM", "MAX_POOL_2D", "MAXIMUM", "MINIMUM", "MUL", "PAD", "PRELU", "RELU"),
        *("RELU6", "RESHAPE", "RESIZE_BILINEAR", "SOFTMAX", "STRIDED_SLICE", "SUB", "TRANSPOSE_CONV"),
    )
)
"""What the GPU delegate takes by its documentation ("Supported ops" in lite/g3doc/performance/gpu_advanced.md of
TensorFlow's sources, which "GPU delegates for LiteRT" repeats). The package's own analyzer is of no help: in
ai-edge-litert 2.3 it finds every model compatible, those with SELECT too, which litert-torch says the delegate refuses.
"""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was asked for.

    Attributes:
        precision: of the artifact.
        size: of the frames.
        scales: of INT8: layer -> the float value of one int8 step of its input.
    """

    precision: Precision
    size: Size
    scales: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Warp:
    """How the rows of one table are looked up, as read from the file.

    Attributes:
        rows: of the table, one for each pixel of all images.
        offsets: what is added to the number of a pixel's row, in order.
        limits: what positions and cells are clamped to from above, in order.
        grids: what is added to flow: (1, 1, W) and (1, H, 1).
        clamped_at_zero: whether every position is clamped from below.
        types: of the table, and of everything between flow and the numbers of rows.
    """

    rows: int
    offsets: tuple[int, ...]
    limits: tuple[float, ...]
    grids: tuple[NDArray[Any], ...]
    clamped_at_zero: bool
    types: frozenset[str]

    def trouble(self) -> str:
        """What is not as in :func:`ifrnet.warp.warp`: bilinear, border padding, align_corners; empty when all is."""
        sides = sorted(((grid.shape[2], grid.shape[1]) for grid in self.grids), reverse=True)
        if len(sides) != 2 or sides[0][1] != 1 or sides[1][0] != 1:
            return f"adds {sides} to flow, not one row and one column of pixels"
        width, height = sides[0][0], sides[1][1]
        if any((grid.reshape(-1) != np.arange(grid.size)).any() for grid in self.grids):
            return "does not count pixels by ones from zero, which align_corners is"
        if self.rows % (width * height) or self.offsets != (0, 1, width, width + 1):
            return f"looks up {self.offsets} in {self.rows} rows, not the four pixels around a position in {width}"
        if not self.clamped_at_zero or self.limits != tuple(sorted((width - 2, width - 1, height - 2, height - 1))):
            return f"clamps to {self.limits}, at zero: {self.clamped_at_zero}: not to the border of {width}x{height}"
        return "" if self.types <= {"FLOAT32", "INT32"} else f"has positions of {', '.join(sorted(self.types))}"


def find_warps(file: File) -> list[Warp]:
    """Every table that is looked up, with how."""
    groups: dict[int, list[Operator]] = {}
    for operator in file.of_kind("EMBEDDING_LOOKUP"):
        groups.setdefault(operator.inputs[1], []).append(operator)
    return [_warp(file, table, lookups) for table, lookups in groups.items()]


def _warp(file: File, table: int, lookups: list[Operator]) -> Warp:
    offsets, start = [], lookups[0].inputs[0]
    for lookup in lookups:
        given = file.producers.get(lookup.inputs[0])
        added = file.constant(given.inputs[1]) if given is not None and given.kind == "ADD" else None
        offsets.append(0 if added is None else int(added.reshape(-1)[0]))
        start = lookup.inputs[0] if added is None else start
    path = list(_back_to_flow(file, start))
    limits = [value for op in path if op.kind == "MINIMUM" for value in _constants(file, op)]
    adding = [op for op in path if _adds_a_grid(file, op)]
    return Warp(
        rows=file.shape(table)[0],
        offsets=tuple(sorted(offsets)),
        limits=tuple(sorted(float(value.reshape(-1)[0]) for value in limits)),
        grids=tuple(value for op in adding for value in _constants(file, op)),
        clamped_at_zero=all(op.clamps for op in adding),
        types=frozenset((file.type(table), *(file.type(number) for op in path for number in op.outputs))),
    )


def _back_to_flow(file: File, tensor: int) -> Iterator[Operator]:
    """What row numbers are computed from, back to the additions of pixels' positions to flow."""
    waiting, seen = [tensor], set()
    while waiting:
        number = waiting.pop()
        operator = file.producers.get(number)
        if operator is None or number in seen or operator.kind in CONVOLUTIONS:
            continue
        seen.add(number)
        yield operator
        if not _adds_a_grid(file, operator):
            waiting += operator.inputs


def _adds_a_grid(file: File, operator: Operator) -> bool:
    values = _constants(file, operator) if operator.kind == "ADD" else []
    return any(value.ndim == 3 and value.shape[0] == 1 and value.size > 1 for value in values)


def _constants(file: File, operator: Operator) -> list[NDArray[Any]]:
    return [value for value in map(file.constant, operator.inputs) if value is not None]


def warps(file: File, wanted: Wanted) -> str:
    """Every warp is there and samples as the network's do; nothing gathers by coordinates."""
    if others := file.of_kind("GATHER", "GATHER_ND", "CUSTOM"):
        return f"the file has {len(others)} {others[0].kind}"
    found = find_warps(file)
    if len(found) != WARPS or len(file.of_kind("EMBEDDING_LOOKUP")) != LOOKUPS * WARPS:
        return (
            f"the file has {len(found)} warps of {len(file.of_kind('EMBEDDING_LOOKUP'))} look-ups, not {WARPS} of four"
        )
    return next((f"a warp {trouble}" for warp in found if (trouble := warp.trouble())), "")


def stored_weights(file: File, wanted: Wanted) -> str:
    """Every convolution's weights are stored as asked for; of INT8 those that scales name."""
    found = file.of_kind(*CONVOLUTIONS)
    for operator in found:
        expected = STORED[wanted.precision]
        if wanted.precision is Precision.INT8 and layer_of(file, operator) not in wanted.scales:
            expected = STORED[Precision.FP16]
        if (kind := storage(file, operator)) != expected:
            return f"the weights of {file.name(operator.outputs[0])} are stored as {kind}, not {expected}"
    return "" if found else "the file has no convolutions"


def int8_scales(file: File, wanted: Wanted) -> str:
    """Every int8 convolution is there, and takes its input at the scale that was calibrated, with zero point 0."""
    pending = set(wanted.scales)
    for operator in _int8(file):
        layer, scales = layer_of(file, operator), file.scales(operator.image)
        pending.discard(layer)
        expected = wanted.scales.get(layer, 0.0)
        if scales is None or not np.allclose(scales[0], expected, rtol=1e-5, atol=0.0) or scales[1].any():
            return f"{layer} takes its input at {scales}, not at {expected:g} with zero point 0"
    return f"{len(pending)} convolutions are not int8, for example {min(pending)}" if pending else ""


def float32_flow(file: File, wanted: Wanted) -> str:
    """Whatever is neither weights nor inside an int8 convolution is float32 (or an integer that counts)."""
    inside = {number for operator in _int8(file) for number in (operator.image, operator.outputs[0])}
    for operator in file.operators:
        for number in operator.outputs:
            kind = file.type(number)
            if kind not in ("FLOAT32", "INT32") and number not in inside:
                return f"{operator.kind} gives {file.name(number)} in {kind}"
    return ""


def stepped_sums(file: File, wanted: Wanted) -> str:
    """No sum is longer than a side of the frame."""
    found = file.of_kind("MEAN", "SUM")
    for operator in found:
        axes = file.constant(operator.inputs[1])
        if axes is None or axes.size != 1:
            return f"{operator.kind} sums over several axes at once"
    return "" if found else "the file takes no mean"


def contract(file: File, wanted: Wanted) -> str:
    """Inputs and output are those of :mod:`runtimes.contract`, and each input is read."""
    frame = (1, 3, wanted.size.height, wanted.size.width)
    expected = {**dict.fromkeys((*INPUT_NAMES[:2], OUTPUT_NAME), frame), INPUT_NAMES[2]: (1, 1, 1, 1)}
    inputs, outputs = file.signature
    found = {name: file.shape(number) for name, number in (*inputs.items(), *outputs.items())}
    types = {file.type(number) for number in (*inputs.values(), *outputs.values())}
    if found != expected or tuple(outputs) != (OUTPUT_NAME,) or types != {"FLOAT32"}:
        return f"inputs and output are {found} in {', '.join(sorted(types))}, not {expected} in FLOAT32"
    read = {number for operator in file.operators for number in operator.inputs}
    unread = [name for name, number in inputs.items() if number not in read]
    return f"the file ignores {', '.join(unread)}" if unread else ""


def _int8(file: File) -> list[Operator]:
    return [operator for operator in file.of_kind(*CONVOLUTIONS) if storage(file, operator) == "int8"]


def layer_of(file: File, operator: Operator) -> str:
    """The layer of a convolution, by the name of its weights."""
    producer = file.producers.get(operator.kernel)
    return file.name(operator.kernel if producer is None else producer.inputs[0]).partition("/")[0]


def storage(file: File, operator: Operator) -> str:
    """How a convolution's weights are stored: half precision lies behind a DEQUANTIZE."""
    producer = file.producers.get(operator.kernel)
    if producer is None:
        return file.type(operator.kernel).lower()
    return file.type(producer.inputs[0]).lower() if producer.kind == "DEQUANTIZE" else "computed"


SENTINELS: Mapping[str, Callable[[File, Wanted], str]] = MappingProxyType(
    {
        "litert-warps": warps,
        "litert-weights": stored_weights,
        "litert-int8-scales": int8_scales,
        "litert-float32-flow": float32_flow,
        "litert-stepped-sums": stepped_sums,
        "litert-contract": contract,
    }
)
"""Name -> check, which says what is wrong; empty when nothing is."""


def check_file(file: File, wanted: Wanted) -> dict[str, Any]:
    """Run every sentinel.

    Returns:
        What was read back, for the manifest.

    Raises:
        SentinelError: naming the sentinel.
    """
    run_sentinels(SENTINELS, file, wanted)
    counts = Counter(operator.kind for operator in file.operators)
    listed = {kind: count for kind, count in counts.items() if kind in GPU_LISTED}
    details: dict[str, Any] = {
        "convolutions": dict(sorted(Counter(storage(file, op) for op in file.of_kind(*CONVOLUTIONS)).items())),
        "operators": dict(sorted(counts.items())),
        "warps": {"lookups": LOOKUPS, "padding": "border", "align_corners": True, "pairs": WARPS},
        "gpu_delegate": {
            "source": "its documentation's list of supported operators; never tried",
            "takes": dict(sorted(listed.items())),
            "does not list": dict(sorted((counts - Counter(listed)).items())),
        },
    }
    if wanted.precision is Precision.INT8:
        details["int8_layers"] = sorted(layer_of(file, operator) for operator in _int8(file))
    return details
