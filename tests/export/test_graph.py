"""The deploy graph without rewrites is ``ifrnet.interpolate``, for every size and scale."""

from __future__ import annotations

import pytest
import torch

from export.graph import PrecisionPolicy
from export.parity_frames import moving_pair
from export.rewrites import build_graph
from ifrnet import IFRNet, interpolate, random_model
from runtimes.contract import Precision, Size


@pytest.fixture(scope="module")
def model() -> IFRNet:
    return random_model("ifrnet_s")


@pytest.mark.parametrize("static", [True, False], ids=["static", "dynamic"])
@pytest.mark.parametrize(
    ("size", "scale"),
    [("160x96", 1.0), ("131x77", 1.0), ("77x131", 1.0), ("131x77", 0.5), ("150x90", 0.8), ("33x17", 2.0)],
)
def test_the_graph_is_the_network(model: IFRNet, size: str, scale: float, static: bool) -> None:
    frame = Size.parse(size)
    graph = build_graph(model, (), scale=scale, size=(frame.height, frame.width) if static else None)
    img0, img1 = (torch.from_numpy(x) for x in moving_pair(frame))
    t = torch.full((1, 1, 1, 1), 0.3)
    found, expected = graph(img0, img1, t), interpolate(model, img0, img1, t, scale)
    assert found.shape == expected.shape == (1, 3, frame.height, frame.width)
    assert float((found - expected).abs().max()) <= 1e-5


@pytest.mark.parametrize("change", ["residual", "mask", "t", "order"])
def test_a_wrong_graph_is_seen(model: IFRNet, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison above can fail: each of these is more than its limit away."""
    graph = build_graph(model, (), size=(96, 160))
    img0, img1 = (torch.from_numpy(x) for x in moving_pair(Size(160, 96)))
    t = torch.full((1, 1, 1, 1), 0.3)
    expected = interpolate(model, img0, img1, t)
    estimate = graph.estimate

    def changed(pair: tuple[torch.Tensor, ...], step: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        flow, synthesis = estimate(pair, torch.full_like(step, 0.5) if change == "t" else step)
        factor = torch.ones(4).view(1, 4, 1, 1)
        factor[:, 0 if change == "mask" else slice(1, 4)] = {"residual": 0.0, "mask": 0.9}.get(change, 1.0)
        return flow, synthesis * factor

    monkeypatch.setattr(graph, "estimate", changed)
    frames = (img1, img0) if change == "order" else (img0, img1)
    assert float((graph(*frames, t) - expected).abs().max()) > 1e-3


def test_the_model_is_copied(model: IFRNet) -> None:
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    graph = build_graph(model, ("split_resblock", "subpixel_deconv", "relu_prelu"), precision=Precision.FP16)
    for parameter in graph.parameters():
        parameter.zero_()
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert all(tensor.dtype == torch.float32 for tensor in model.state_dict().values())


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        (Precision.FP32, torch.float32),
        (Precision.FP16, torch.float16),
        (Precision.BF16, torch.bfloat16),
        (Precision.INT8, torch.float32),
    ],
)
def test_precision_is_that_of_the_convolutions(model: IFRNet, precision: Precision, dtype: torch.dtype) -> None:
    assert PrecisionPolicy.of(precision).convolutions is dtype
    assert {parameter.dtype for parameter in build_graph(model, (), precision=precision).parameters()} == {dtype}


def test_gradients_are_off(model: IFRNet) -> None:
    graph = build_graph(model, ())
    assert not graph.training
    assert not any(parameter.requires_grad for parameter in graph.parameters())
