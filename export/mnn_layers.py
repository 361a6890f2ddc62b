"""What an MNN file holds, as MNN's own converter writes it down in JSON, and the checks of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from export.errors import run_sentinels
from runtimes.contract import INPUT_NAMES, SizeRange

Layer = Mapping[str, Any]

CONVOLUTIONS = ("Convolution", "Deconvolution")

STORAGE = MappingProxyType({3: "float16", 1: "int8", 4: "int8"})
"""Type of MNN's ``IDSTQuan`` -> how weights are stored. 1 and 4 are 8 bits or fewer."""

WARP = MappingProxyType({"mode": "BILINEAR", "paddingMode": "CLAMP", "alignCorners": True})


@dataclass(frozen=True, kw_only=True)
class File:
    """What was read back from a file, and what was asked for.

    Attributes:
        layers: ``oplists`` of MNN's JSON.
        rounded: names of constants, weights aside, that are not what they were in float32.
        weights: ``float32``, ``float16`` or ``int8``.
        sizes: what the artifact takes.
    """

    layers: Sequence[Layer]
    rounded: Sequence[str]
    weights: str
    sizes: SizeRange


def warps(file: File) -> str:
    """Every warp is there and samples as the network's do."""
    from export.sentinels import WARPS  # loads onnx

    found = [layer for layer in file.layers if layer["type"] == "GridSample"]
    if len(found) != WARPS:
        return f"the file has {len(found)} warps, not {WARPS}"
    for layer in found:
        mode = {key: layer["main"].get(key) for key in WARP}
        if mode != dict(WARP):
            return f"warp {layer['name']} samples with {mode}, not {dict(WARP)}"
    return ""


def stored_weights(file: File) -> str:
    """Every convolution's weights are stored as asked for."""
    for layer in file.layers:
        if layer["type"] in CONVOLUTIONS and (found := storage(layer)) != file.weights:
            return f"the weights of {layer['name']} are stored as {found}, not {file.weights}"
    return ""


def float32_flow(file: File) -> str:
    """Whatever is no weight of a convolution is float32 (or an integer): sampling positions, flow, mean."""
    for layer in file.layers:
        main = layer.get("main") or {}
        for key in ("dataType", "dstT"):
            if main.get(key) in ("DT_HALF", "DT_BFLOAT16", "DT_INT8", "DT_UINT8"):
                return f"{layer['type']} {layer['name']} holds {main[key]}, not DT_FLOAT"
    return f"constant {file.rounded[0]} and {len(file.rounded) - 1} more were rounded" if file.rounded else ""


def frames(file: File) -> str:
    """The inputs are those of the contract, of the size that was asked for."""
    size = file.sizes.typical
    height, width = (size.height, size.width) if file.sizes.is_static else (-1, -1)
    expected = {name: [1, 3, height, width] for name in INPUT_NAMES[:2]} | {INPUT_NAMES[2]: [1, 1, 1, 1]}
    inputs = [layer for layer in file.layers if layer["type"] == "Input"]
    found = {layer["name"]: list(layer["main"]["dims"]) for layer in inputs}
    kinds = {(layer["main"]["dtype"], layer["main"]["dformat"]) for layer in inputs}
    if found != expected or kinds != {("DT_FLOAT", "NCHW")}:
        return f"the inputs are {found} in {kinds}, not {expected} in DT_FLOAT, NCHW"
    return ""


Sentinel = Callable[[File], str]
"""Returns what is wrong, or an empty string."""

SENTINELS: Mapping[str, Sentinel] = MappingProxyType(
    {
        "mnn-warps": warps,
        "mnn-weights": stored_weights,
        "mnn-float32-flow": float32_flow,
        "mnn-inputs": frames,
    }
)


def storage(layer: Layer) -> str:
    """How a convolution's weights are stored."""
    packed = layer["main"].get("quanParameter")
    return "float32" if packed is None else STORAGE.get(packed["type"], f"type {packed['type']}")


def check_file(file: File) -> dict[str, Any]:
    """Run every sentinel; returns what the manifest says of the file.

    Raises:
        SentinelError: one of them fired.
    """
    run_sentinels(SENTINELS, file)
    counts = Counter(layer["type"] for layer in file.layers)
    stored = Counter(storage(layer) for layer in file.layers if layer["type"] in CONVOLUTIONS)
    return {
        "weights": file.weights,
        "activations": "float32",
        "convolutions": dict(sorted(stored.items())),
        "layers": dict(sorted(counts.items())),
        "warps": dict(WARP),
    }
