"""Steps of integers: where the values of each tensor lie, seen on the shipped clip or known beforehand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.int8.clip import CLIP, HELD_ASIDE, SCENE_FRAMES, TRIPLETS
from export.int8.windows import resized_middle
from export.qnn_plan import KEEPS_VALUES, Form, Graph, Numbers
from ifrnet.footage.video import read_frames
from runtimes.contract import INPUT_NAMES, OUTPUT_NAME, Size, Timesteps
from runtimes.frames import to_tensor

Range = tuple[float, float]
Feed = dict[str, NDArray[np.float32]]

KEPT = 2003
"""About so many values of a tensor are looked at for each pair (a prime, so that no row is favoured)."""

ROOM = 2.0
"""Ranges of 16 bits are so many times what was seen: other footage may go further, and a bit of 16 is no loss."""

PAIRS = HELD_ASIDE // SCENE_FRAMES * len(TRIPLETS)
"""Of the shipped clip that are looked at."""

LEAST_FLOW, FLOW_SHARE = 128.0, 0.2
"""Pixels of flow that are kept at least, and as a share of the width; more is clipped."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a tensor held: its least and largest value, and some of them."""

    low: float
    high: float
    values: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Unsigned integers for a tensor: value = scale * (integer - zero)."""

    scale: float
    zero: int

    @classmethod
    def of(cls, low: float, high: float, numbers: Numbers) -> Steps:
        """All integers over a range, which is widened to hold zero."""
        low, high, top = min(low, 0.0), max(high, 0.0), 2**numbers - 1
        scale = float(np.float32((high - low) / top)) or 1e-8
        return cls(scale=scale, zero=int(np.clip(round(-low / scale), 0, top)))


def calibration_feeds(size: Size, timesteps: Timesteps) -> Iterator[Feed]:
    """Inputs of the network from the scenes of the shipped clip that are for calibration, at one size."""
    frames = [frame for _, frame in zip(range(HELD_ASIDE), read_frames(CLIP), strict=False)]
    times = (0.5,) if timesteps is Timesteps.MIDDLE else (0.25, 0.5, 0.75)
    pairs = [(s + first, s + last) for s in range(0, HELD_ASIDE, SCENE_FRAMES) for first, _, last in TRIPLETS]
    for i, pair in enumerate(pairs):
        img0, img1 = (to_tensor(resized_middle(frames[k], size)) for k in pair)
        t = np.full((1, 1, 1, 1), times[i % len(times)], np.float32)
        yield dict(zip(INPUT_NAMES, (img0, img1, t), strict=True))


def observe(model: onnx.ModelProto, feeds: Iterable[Feed]) -> dict[str, Seen]:
    """Run a float32 graph in ONNX Runtime and look at every tensor that it computes.

    Only extremes and samples leave the graph, so that memory stays that of an inference.
    """
    import onnxruntime

    probed, names = _probed(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED  # each tensor is looked at where it is made
    session = onnxruntime.InferenceSession(
        probed.SerializeToString(), options, providers=["CPUExecutionProvider"], enable_fallback=0
    )
    outputs = [f"{name}__{what}" for name in names for what in ("low", "high", "some")]
    low, high = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    some: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    for feed in feeds:
        found = dict(zip(outputs, session.run(outputs, feed), strict=True))
        for name in names:
            low[name] = min(low[name], float(found[f"{name}__low"]))
            high[name] = max(high[name], float(found[f"{name}__high"]))
            some[name].append(found[f"{name}__some"])
    return {name: Seen(low=low[name], high=high[name], values=np.concatenate(some[name])) for name in names}


def _probed(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """A copy that gives extremes and samples of its float tensors, and their names."""
    probed = onnx.shape_inference.infer_shapes(model)
    graph = probed.graph
    shapes = {value.name: value.type.tensor_type for value in (*graph.value_info, *graph.output)}
    names = [name for node in graph.node for name in node.output if shapes[name].elem_type == TensorProto.FLOAT]
    constants = {"probe_flat": [-1], "probe_first": [0], "probe_end": [2**62], "probe_axis": [0]}
    nodes = []
    for node in graph.node:
        nodes.append(node)
        for name in set(names) & set(node.output):
            count = int(np.prod([dim.dim_value for dim in shapes[name].shape.dim], dtype=np.int64))
            stride = max(1, count // KEPT)
            constants[f"probe_{stride}"] = [stride]
            nodes += _probe(name, f"probe_{stride}")
    del graph.node[:]
    graph.node.extend(nodes)
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), name))
    del graph.output[:]
    for name in names:
        for what in ("low", "high", "some"):
            graph.output.append(helper.make_tensor_value_info(f"{name}__{what}", TensorProto.FLOAT, None))
    return probed, names


def _probe(name: str, stride: str) -> list[onnx.NodeProto]:
    """What looks at one tensor."""
    flat, settings = f"{name}__flat", ["probe_first", "probe_end", "probe_axis", stride]
    return [
        helper.make_node("ReduceMin", [name], [f"{name}__low"], keepdims=0),
        helper.make_node("ReduceMax", [name], [f"{name}__high"], keepdims=0),
        helper.make_node("Reshape", [name, "probe_flat"], [flat]),
        helper.make_node("Slice", [flat, *settings], [f"{name}__some"]),
    ]


class Ranges:
    """Steps of every tensor of a graph in one form.

    Args:
        graph: float32.
        seen: of :func:`observe`.
        width: of the frames in pixels.
        form: what it is for.
    """

    def __init__(self, graph: Graph, seen: Mapping[str, Seen], *, width: int, form: Form) -> None:
        self._graph, self._seen = graph, seen
        self._known = {} if form is Form.W8A8 else self._bounds(self.flow_limit(width))
        self._room = 1.0 if form is Form.W8A8 else ROOM
        self._fitted: dict[str, Steps] = {}
        self._chosen: dict[tuple[str, Numbers], Steps] = {}
        if form is Form.MIXED:
            self._fit_activations()

    def flow_limit(self, width: int) -> float:
        """The largest flow that is kept, in pixels."""
        seen = max(max(-self._seen[name].low, self._seen[name].high) for name in self._graph.flow)
        return max(LEAST_FLOW, FLOW_SHARE * width, ROOM * seen)

    def steps(self, name: str, numbers: Numbers) -> Steps:
        """Of a tensor, an input of the network included."""
        while (node := self._graph.producers.get(name)) is not None and node.op_type in KEEPS_VALUES:
            if name in self._known or name == OUTPUT_NAME:
                break
            name = node.input[0]
        key = (name, numbers)
        if key not in self._chosen:
            self._chosen[key] = self._choose(name, numbers)
        return self._chosen[key]

    def _choose(self, name: str, numbers: Numbers) -> Steps:
        if name in INPUT_NAMES or name == OUTPUT_NAME:
            return Steps.of(0.0, 1.0, numbers)
        if numbers is Numbers.INT8 and name in self._fitted:
            return self._fitted[name]
        seen = self._seen[name]
        if numbers is Numbers.INT8 and self._room != 1.0:
            return _least_error(seen)
        if name in self._known:
            return Steps.of(*self._known[name], numbers)
        return Steps.of(self._room * seen.low, self._room * seen.high, numbers)

    def _bounds(self, flow: float) -> dict[str, Range]:
        """Ranges that follow from those of frames, t and flow, whatever the footage.

        Positions beyond the frame sample its border, so that clipping them to it changes nothing.
        """
        graph, known = self._graph, dict.fromkeys(INPUT_NAMES, (0.0, 1.0))
        for node in graph.model.graph.node:
            name = node.output[0]
            if name in graph.flow:
                known[name] = (-flow, flow)
            elif name in graph.positions:
                known[name] = (-1.0, 1.0)
            elif (found := self._bound(node, known)) is not None:
                known[name] = found
        return known

    def _bound(self, node: onnx.NodeProto, known: Mapping[str, Range]) -> Range | None:
        """The range of a result by that of its inputs; None where it does not follow."""
        inputs = []
        for name in node.input:
            if name in known:
                inputs.append(known[name])
            elif name in self._graph.constants:
                value = numpy_helper.to_array(self._graph.constants[name])
                inputs.append((float(value.min()), float(value.max())) if value.size else (0.0, 0.0))
            elif name:
                return None
        first, second = inputs[0], inputs[1] if len(inputs) > 1 else (0.0, 0.0)
        match node.op_type:
            case "Concat":
                return min(low for low, _ in inputs), max(high for _, high in inputs)
            case "Add":
                return first[0] + second[0], first[1] + second[1]
            case "Sub":
                return first[0] - second[1], first[1] - second[0]
            case "Mul":
                products = [a * b for a in first for b in second]
                return min(products), max(products)
            case "ReduceMean" | "GlobalAveragePool" | "Relu":
                return first
            case "Sigmoid" | "Clip":
                return 0.0, 1.0
        return first if node.op_type in KEEPS_VALUES else None

    def _fit_activations(self) -> None:
        """A convolution's result and that of the PReLU behind it get the same step, so that positive values are rounded
        once: the one that makes the squared error behind the PReLU least.

        Scales of the recipe, which are for signed integers in front of convolutions alone, lose twice as much here.
        """
        for node in self._graph.model.graph.node:
            if node.op_type != "PRelu":
                continue
            before, after = node.input[0], node.output[0]
            slope = float(np.abs(numpy_helper.to_array(self._graph.constants[node.input[1]])).mean())
            steps = _least_error(self._seen[before], slope)
            low = min(self._seen[after].low, 0.0)
            self._fitted[before] = steps
            self._fitted[after] = Steps(scale=steps.scale, zero=int(np.clip(round(-low / steps.scale), 0, 255)))


def _least_error(seen: Seen, slope: float = 1.0) -> Steps:
    """Steps of 8 bits with the least squared error over what was seen; negative values count ``slope`` squared."""
    values, best, least = seen.values, Steps.of(seen.low, seen.high, Numbers.INT8), np.inf
    weight = np.where(values < 0.0, np.float32(min(slope * slope, 1.0)), np.float32(1.0))
    shares = np.linspace(0.1, 1.0, 24)
    for high in shares * seen.high if seen.high > 0.0 else (0.0,):
        for low in shares[::2] * seen.low if seen.low < 0.0 else (0.0,):
            steps = Steps.of(float(low), float(high), Numbers.INT8)
            rounded = (np.rint(values / np.float32(steps.scale)) + steps.zero).clip(0, 255) - steps.zero
            error = float((weight * (rounded * np.float32(steps.scale) - values) ** 2).mean())
            if error < least:
                best, least = steps, error
    return best
