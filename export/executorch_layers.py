"""Sentinels on the saved ``.pte``: what fell out of the delegates, how it warps, what runs in which type."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from export.convolutions import HALF_SHARE
from export.errors import run_sentinels
from export.int8.stages import MIN_SHARE
from export.options import Delegate
from export.sentinels import WARPS
from ifrnet.variants import LEVELS, size_multiple
from runtimes.contract import Precision, Size

BACKENDS = MappingProxyType({Delegate.XNNPACK: "XnnpackBackend", Delegate.VULKAN: "VulkanBackend"})
"""Delegate -> its name in files."""

OWN_KERNELS = frozenset(
    {
        "aten::add.out",
        "aten::alias_copy.out",
        "aten::arange.start_out",
        "aten::cat.out",
        "aten::embedding.out",
        "aten::expand_copy.out",
        "aten::mean.out",
        "aten::select_copy.int_out",
        "aten::slice_copy.Tensor_out",
        "aten::upsample_bilinear2d.vec_out",
        "aten::view_copy.out",
        "dim_order_ops::_to_dim_order_copy.out",
    }
)
"""What may be left to ExecuTorch's portable kernels, which are plain loops: rows that are looked up, their numbers,
copies, the mean, and resizes by a factor that XNNPACK does not take (``--scale``)."""

CONVOLUTIONS = ("XNNConv2d", "XNNDepthwiseConv2d", "XNNConvTranspose2d")

CARRY_FLOW = ("XNNFloor", "XNNStaticResizeBilinear2D", "XNNSubtract", "XNNMultiply", "XNNSigmoid", "XNNClamp")
"""Operators of resizing, sampling, mask and blending; none belongs to the convolutions."""

LOOKUPS = 4
"""Of one warp: the corners of a cell."""

VULKAN_WARP = [0, 1, True]
"""Bilinear, border, align_corners, as PyTorch numbers them."""

INTEGERS = frozenset({"int", "long", "bool"})

Table = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class File:
    """What ``export.executorch_converter.describe`` read back, and what was asked for.

    Attributes:
        inputs, outputs: shape and type of each.
        kernels: calls of ExecuTorch's own kernels, in order.
        delegates: each with its name and its operators, in order.
        delegate_calls: how often one of them is called.
        size: of the frames.
        scale: the network runs on frames resized by this.
    """

    inputs: Sequence[Table]
    outputs: Sequence[Table]
    kernels: Sequence[Table]
    delegates: Sequence[Table]
    delegate_calls: int
    size: Size
    scale: float
    precision: Precision
    delegate: Delegate

    def nodes(self, *kinds: str) -> Iterator[Table]:
        """Operators within the delegates; all of them where no kind is given."""
        return (node for item in self.delegates for node in item["nodes"] if not kinds or node["kind"] in kinds)

    def calls(self, kind: str) -> list[Table]:
        """Calls of one kernel of ExecuTorch."""
        return [call for call in self.kernels if call["kind"] == kind]


def delegates(file: File) -> str:
    """The network is in the delegate that was asked for; all of it, with Vulkan."""
    wanted = BACKENDS[file.delegate]
    names = Counter(item["name"] for item in file.delegates)
    if set(names) != {wanted}:
        return f"its delegates are {dict(names)}, not of {wanted} alone"
    if file.delegate is Delegate.VULKAN and (file.delegate_calls != 1 or file.kernels):
        return f"the network is cut: {file.delegate_calls} calls of delegates, {len(file.kernels)} kernels beside them"
    return ""


def fallback(file: File) -> str:
    """No convolution, activation, resize or warp is left to portable kernels."""
    others = Counter(call["kind"] for call in file.kernels if call["kind"] not in OWN_KERNELS)
    if file.scale == 1.0:
        others += Counter(call["kind"] for call in file.kernels if "upsample" in call["kind"])
    return f"portable kernels run {dict(others)}" if others else ""


def warps(file: File) -> str:
    """All warps are there: bilinear, with border padding, at whole pixels."""
    return vulkan_warps(file) if file.delegate is Delegate.VULKAN else lookup_warps(file)


def vulkan_warps(file: File) -> str:
    """Grid samplers of PyTorch's numbers."""
    found = list(file.nodes("aten.grid_sampler_2d.default"))
    if len(found) != WARPS:
        return f"the file has {len(found)} warps, not {WARPS}"
    other = [node["numbers"] for node in found if node["numbers"] != VULKAN_WARP]
    return f"a warp samples with {other[0]}, not {VULKAN_WARP}" if other else ""


def lookup_warps(file: File) -> str:
    """Look-ups of rows in float32; positions in pixels, clamped to the frame of each level, and rounded down."""
    lookups = file.calls("aten::embedding.out")
    if len(lookups) != LOOKUPS * WARPS // 2:  # pairs
        return f"the file looks up {len(lookups)} times, not {LOOKUPS * WARPS // 2}"
    if wrong := [call["types"] for call in lookups if call["types"][:2] != ["float", "int"]]:
        return f"rows of {wrong[0][0]} are looked up by {wrong[0][1]}, not of float by int"
    found = Counter(tuple(node["bounds"]) for node in file.nodes("XNNClamp"))
    for side in (side for size in warped_sizes(file.size, file.scale) for side in size):
        for bounds, what in (((0.0, side - 1.0), "positions"), ((-math.inf, side - 2.0), "cells")):
            if found[bounds] < 1:
                return f"no {what} are clamped to {bounds}, on a level with a side of {side}"
            found[bounds] -= 1
    floors = sum(1 for _ in file.nodes("XNNFloor"))
    return "" if floors == WARPS else f"{floors} positions are rounded down, not {WARPS}"


def warped_sizes(size: Size, scale: float) -> list[tuple[int, int]]:
    """Width and height of what is warped: the padded frame, and the three finer levels of the network."""
    multiple = size_multiple(scale)
    padded = [-(-side // multiple) * multiple for side in (size.width, size.height)]
    levels = [[round(side * scale) // 2**level for side in padded] for level in range(1, LEVELS)]
    return [(width, height) for width, height in (padded, *levels)]


def precision(file: File) -> str:
    """The convolutions run in what was asked for, read from the types of their tensors."""
    if file.delegate is Delegate.VULKAN:
        types = Counter(kind for node in file.nodes() for kind in node["types"])
        return "" if set(types) <= {"float32", "int32", "bool"} else f"its tensors are {dict(types)}, not float32"
    found = shares(file)
    least = {Precision.FP32: 1.0, Precision.FP16: HALF_SHARE, Precision.INT8: MIN_SHARE}[file.precision]
    got = found.get(file.precision, 0.0)
    return "" if got >= least else f"{got:.1%} of the multiplications are in {file.precision}, not {least:.0%}: {found}"


def shares(file: File) -> dict[str, float]:
    """Arithmetic -> its part of the multiplications of all convolutions, from 0 to 1."""
    work: Counter[str] = Counter()
    for node in file.nodes(*CONVOLUTIONS):
        work[arithmetic(node)] += multiplications(node)
    total = sum(work.values())
    return {name: count / total for name, count in sorted(work.items())}


def arithmetic(node: Table) -> str:
    """Of a convolution: what it takes and with which weights."""
    taken, weights = node["tensors"]["input1"][0], node["tensors"]["filter"][0]
    if (taken, weights) == ("qdint8", "qcint8"):
        return Precision.INT8
    return str(taken) if weights in ("fp32", taken) else f"{taken} with {weights}"


def multiplications(node: Table) -> int:
    """Of a convolution; shapes are NHWC, and kernels (output, height, width, input)."""
    outputs, height, width, inputs = node["tensors"]["filter"][1]
    if node["kind"] == "XNNConvTranspose2d":
        return math.prod(node["tensors"]["input1"][1]) * height * width * int(outputs)
    depth = 1 if node["kind"] == "XNNDepthwiseConv2d" else int(inputs)
    return math.prod(node["tensors"]["output"][1]) * height * width * depth


def float32_flow(file: File) -> str:
    """Flow, positions, warps, mask and blending are float32, in the delegates and beside them."""
    if file.delegate is Delegate.VULKAN:
        return ""  # see precision: nothing in its file is anything else
    for node in file.nodes(*CARRY_FLOW):
        if types := {kind for kind, _ in node["tensors"].values()} - {"fp32"}:
            return f"{node['kind']} is computed in {', '.join(sorted(types))}, not fp32"
    for call in file.kernels:
        if call["kind"].startswith(
            ("dim_order_ops", "aten::slice_copy", "aten::expand_copy", "aten::view_copy", "aten::alias_copy")
        ):
            continue  # copies, which half-precision features need on their way to float32
        if types := set(call["types"]) - {"float"} - INTEGERS:
            return f"{call['kind']} is computed in {', '.join(sorted(types))}, not float"
    return ""


def stepped_mean(file: File) -> str:
    """Three means, each over one axis: one long sum in float32 is off by 1e-4 and more."""
    if file.delegate is Delegate.VULKAN:
        found = sum(1 for _ in file.nodes("aten.mean.dim"))
        return "" if found == 3 else f"the mean is taken in {found} steps, not 3"
    axes = [call["numbers"][0] for call in file.calls("aten::mean.out")]
    expected = [[3], [2], [1]]
    return "" if axes == expected else f"the mean is taken over {axes}, not {expected}"


def contract(file: File) -> str:
    """Inputs and output are those of :mod:`runtimes.contract`."""
    frame = {"dims": [1, 3, file.size.height, file.size.width], "type": "float"}
    expected = [frame, frame, {"dims": [1, 1, 1, 1], "type": "float"}], [frame]
    found = list(file.inputs), list(file.outputs)
    return "" if found == expected else f"inputs and outputs are {found}, not {expected}"


SENTINELS: Mapping[str, Callable[[File], str]] = MappingProxyType(
    {
        "executorch-delegates": delegates,
        "executorch-fallback": fallback,
        "executorch-warps": warps,
        "executorch-precision": precision,
        "executorch-float32-flow": float32_flow,
        "executorch-mean": stepped_mean,
        "executorch-contract": contract,
    }
)
"""Each returns what is wrong, or an empty string."""


def check_file(file: File) -> dict[str, Any]:
    """Run every sentinel; returns what was found, for the manifest.

    Raises:
        SentinelError: one of them fired.
    """
    run_sentinels(SENTINELS, file)
    vulkan = file.delegate is Delegate.VULKAN
    warp: dict[str, Any] = {"padding_mode": "border", "align_corners": True, "mode": "bilinear"}
    warp |= {"grid_samplers": WARPS} if vulkan else {"lookups": len(file.calls("aten::embedding.out"))}
    details: dict[str, Any] = {
        "delegate": str(file.delegate),
        "delegates": len(file.delegates),
        "within_delegates": dict(sorted(Counter(node["kind"] for node in file.nodes()).items())),
        "portable_kernels": dict(sorted(Counter(call["kind"] for call in file.kernels).items())),
        "warps": warp,
        "flow": "float32",
        "convolutions": {"fp32": 1.0} if vulkan else {name: round(share, 4) for name, share in shares(file).items()},
    }
    if file.precision is Precision.INT8:
        details["activations"] = "int8 at scales found at run time, one for each tensor"
    return details
