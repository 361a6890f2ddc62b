"""What targets start from: different frames, made when asked for, traced once, the same function in every form."""

from __future__ import annotations

import pytest
import torch
from onnx import ModelProto

import export.source
from export.errors import SentinelError
from export.options import ExportOptions
from export.pipeline import Job, Pipeline
from export.source import Source
from export.targets import target
from export.trace import DYNAMIC_TRACE
from ifrnet import IFRNet, interpolate, random_model
from runtimes.contract import Precision, Size, SizeRange

SIZE = SizeRange.static(Size(131, 77))
RANGE = SizeRange(minimum=Size(640, 360), typical=Size(1280, 720), maximum=Size(1920, 1080))
EAGER = ("split_resblock", "batch_pair", "offset_grid")
"""Rewrites that PyTorch itself runs."""


@pytest.fixture(scope="module")
def model() -> IFRNet:
    return random_model("ifrnet_s")


@pytest.mark.parametrize(("sizes", "size"), [(SIZE, Size(131, 77)), (RANGE, DYNAMIC_TRACE)], ids=["static", "dynamic"])
def test_example_inputs_are_two_different_frames_and_t(model: IFRNet, sizes: SizeRange, size: Size) -> None:
    img0, img1, t = Source(model, EAGER, Precision.FP32, sizes=sizes).example_inputs
    assert img0.shape == img1.shape == (1, 3, size.height, size.width)
    assert float((img0 - img1).abs().mean()) > 0.01
    assert img0.dtype == img1.dtype == t.dtype == torch.float32
    assert t.shape == (1, 1, 1, 1)


@pytest.mark.parametrize("sizes", [SIZE, RANGE], ids=["static", "dynamic"])
def test_the_module_is_the_network_on_its_example_inputs(model: IFRNet, sizes: SizeRange) -> None:
    source = Source(model, EAGER, Precision.FP32, sizes=sizes)
    expected = interpolate(model, *source.example_inputs)
    assert float((source.module(*source.example_inputs) - expected).abs().max()) < 1e-5


def test_the_exported_program_takes_other_sizes_too(model: IFRNet) -> None:
    program = Source(model, EAGER, Precision.FP32, sizes=RANGE).exported_program()
    frames = [torch.rand(1, 3, 53, 99, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
    inputs = (frames[0], frames[1], torch.full((1, 1, 1, 1), 0.3))
    assert float((program.module()(*inputs) - interpolate(model, *inputs)).abs().max()) < 1e-5


def test_scale_and_precision_are_those_asked_for(model: IFRNet) -> None:
    source = Source(model, EAGER, Precision.FP16, sizes=SIZE, scale=0.5)
    assert source.module.scale == 0.5
    assert {parameter.dtype for parameter in source.module.parameters()} == {torch.float16}


def test_it_is_traced_when_asked_for_and_once(model: IFRNet, monkeypatch: pytest.MonkeyPatch) -> None:
    traced: list[object] = []

    def trace(*given: object) -> ModelProto:
        traced.append(given)
        return ModelProto()

    monkeypatch.setattr(export.source, "trace", trace)
    monkeypatch.setattr(export.source, "guard", lambda *_: ())
    lines: list[str] = []
    source = Source(model, EAGER, Precision.FP32, sizes=SIZE, report=lines.append)
    _ = source.module, source.example_inputs
    assert not traced
    assert not lines
    assert source.onnx is source.onnx
    assert len(traced) == 1
    assert lines == [f"{what} the fp32 graph ({', '.join(EAGER)})" for what in ("tracing", "traced")]


def test_what_is_traced_is_guarded(model: IFRNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export.source, "trace", lambda *_: ModelProto())
    with pytest.raises(SentinelError, match=r"^sentinel "):
        _ = Source(model, EAGER, Precision.FP32, sizes=SIZE).onnx


def test_targets_with_the_same_form_share_a_source() -> None:
    """OpenVINO lowers float32 itself, so its half-precision artifacts start where its float32 one does."""
    precisions = (Precision.FP32, Precision.FP16, Precision.INT8)
    options = ExportOptions(targets=("openvino", "onnx"), precisions=precisions, sizes=SIZE)
    pipeline = Pipeline(options, lambda line: None)

    def source(name: str, precision: Precision) -> Source:
        return pipeline._source(Job(name="", target_name=name, target=target(name), precision=precision))

    shared = source("openvino", Precision.FP32)
    assert source("openvino", Precision.FP16) is shared
    assert source("onnx", Precision.FP32) is not shared
    assert source("onnx", Precision.FP32) is source("onnx", Precision.FP32)
    assert source("onnx", Precision.FP16) is not source("onnx", Precision.FP32)
    assert not shared.scales
    assert source("onnx", Precision.INT8).scales
