"""Whether ONNX Runtime computes in integers, which its optimised graph tells, and what says so when it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from export import onnx_int8
from export.errors import SentinelError
from export.int8.output_ranges import convolutions, output_ranges
from export.int8.scales import scales_for
from export.onnx_int8 import int8_layers, quantise_outputs
from export.options import ExportOptions
from export.source import Source
from export.to_onnx import compile, rewrites
from ifrnet import load_model
from runtimes.artifact import read_manifest
from runtimes.backends import onnxruntime as backend
from runtimes.contract import Precision, Size, SizeRange

SIZES = SizeRange.static(Size(96, 64))

OPTIONS = ExportOptions(targets=("onnx",), precisions=(Precision.INT8,), sizes=SIZES)

LAYER = "decoder2.block.conv1.0"


@pytest.fixture(scope="module")
def source() -> Source:
    model = load_model("ifrnet_s")
    assert model.info is not None
    scales = scales_for(model.info, None).scales
    return Source(model, rewrites(Precision.INT8), Precision.INT8, sizes=SIZES, scales=scales)


def test_without_quantised_outputs_all_is_computed_in_float(source: Source) -> None:
    """What ONNX Runtime made of the form before this one, while its verdict said int8."""
    assert int8_layers(source.onnx.SerializeToString()) == []
    half = quantise_outputs(source.onnx, {LAYER: (-1.0, 3.0)})
    assert int8_layers(half.SerializeToString()) == [LAYER]


def test_an_output_has_the_range_that_was_seen(source: Source) -> None:
    layers = convolutions(source)
    (bounds,) = output_ranges(source, {LAYER: layers[LAYER]}).values()
    assert bounds[0] < 0.0 < bounds[1]
    model = quantise_outputs(source.onnx, {LAYER: bounds})
    values = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    (node,) = [n for n in model.graph.node if n.op_type == "QuantizeLinear" and n.input[0].endswith("_float")]
    scale, zero = (values[name] for name in node.input[1:])
    step = 0.51 * float(scale)
    assert zero.dtype == np.uint8
    assert (0 - float(zero)) * scale == pytest.approx(bounds[0], abs=step)
    assert (255 - float(zero)) * scale == pytest.approx(bounds[1], abs=step)


def test_a_layer_in_float_ends_the_export(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = int8_layers

    def forgetful(model: bytes) -> list[str]:
        return [name for name in ran(model) if name != LAYER]

    monkeypatch.setattr(onnx_int8, "int8_layers", forgetful)
    with pytest.raises(SentinelError, match=rf"computes {LAYER} in float \(1 such layers\)"):
        compile(source, tmp_path, Precision.INT8, OPTIONS)


def test_an_artifact_of_the_form_before_is_said_to_run_in_float(artifact: Callable[..., Path]) -> None:
    manifest = read_manifest(artifact("onnx", model="ifrnet_s", precision=Precision.INT8))
    layers = manifest.details["int8_layers"]
    assert len(layers) == 20
    assert {name.partition(".")[0] for name in layers} == {"decoder1", "decoder2", "decoder3"}
    assert backend._arithmetic(manifest, "cpu") == "int8"
    assert backend._arithmetic(manifest, "cuda:0") == "fp32"
    assert backend._arithmetic(replace(manifest, details={}), "cpu") == "fp32"
