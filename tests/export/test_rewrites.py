"""Each rewrite gives the numbers of the form it replaces: in float64, so that nothing hides in rounding."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export import lookup_warp as lookup_module
from export.graph import DeployGraph, SeparatePair
from export.lookup_warp import FLOAT_ROWS, pad_by_joining, warp_by_lookups
from export.parity_frames import moving_pair
from export.rewrites import REWRITES, build_graph, pooled_mean, pooling_window
from ifrnet import VARIANTS, IFRNet, interpolate, random_model
from ifrnet.variants import FLOW_CHANNELS, LEVELS
from ifrnet.warp import warp
from runtimes.contract import MAX_SIDE, Size

EXACT = 1e-12

MEANS = ("pooled_mean", "row_mean", "stepped_mean")


@pytest.fixture(scope="module")
def model() -> IFRNet:
    return random_model("ifrnet_s")


@pytest.fixture
def eager_pooling(monkeypatch: pytest.MonkeyPatch) -> None:
    """``torch.onnx.ops.symbolic`` computes nothing outside an export; here it is what ONNX says the operator is."""

    def symbolic(name: str, inputs: tuple[Tensor], **_: object) -> Tensor:
        assert name == "GlobalAveragePool"
        return inputs[0].mean(dim=(2, 3), keepdim=True)

    monkeypatch.setattr(torch.onnx.ops, "symbolic", symbolic)


def assert_exact(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= EXACT * max(1.0, float(expected.abs().max()))


def decoder_outputs(graph: DeployGraph) -> list[Tensor]:
    """All decoders in float64 on the same inputs."""
    generator = torch.Generator().manual_seed(1)
    variant, outputs = VARIANTS["ifrnet_s"], []
    for level, decoder in enumerate(graph.decoders, start=1):
        inputs, side = variant.decoder_inputs(level), 1 if level == LEVELS else FLOW_CHANNELS
        x = torch.randn(1, inputs, 5, 7, generator=generator, dtype=torch.float64)
        outputs += decoder.double()((x[:, :-side],), x[:, -side:])
    return outputs


def pair_outputs(graph: DeployGraph) -> list[Tensor]:
    """Encoder, warps and layout of the pair in float64."""
    pair = graph.pair.double()
    assert isinstance(pair, SeparatePair)
    img0, img1 = (torch.from_numpy(frame).double() for frame in moving_pair(Size(48, 32)))
    joined = pair.join(img0, img1)
    generator = torch.Generator().manual_seed(2)
    flow = 12.0 * torch.randn(1, 4, 32, 48, generator=generator, dtype=torch.float64)
    encoded = pair.encode(joined)
    features, half = [pair.stack(level) for level in encoded], flow[:, :, ::2, ::2]
    warped = [pair.stack(pair.warp(joined, flow)), pair.stack(pair.warp(encoded[0], half))]
    return [*features, *warped, *pair.split(joined)]


def padded_outputs(graph: DeployGraph) -> list[Tensor]:
    """Replicate padding on both sides, on one, and on none."""
    x = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return [graph.replicate(x, right, bottom) for right, bottom in ((9, 11), (0, 4), (6, 0), (1, 1))]


PARTS: dict[str, Callable[[DeployGraph], list[Tensor]]] = {
    "split_resblock": decoder_outputs,
    "flow_apart": decoder_outputs,
    "heads_apart": decoder_outputs,
    "subpixel_deconv": decoder_outputs,
    "subpixel_rest": decoder_outputs,
    "subpixel_2x2": decoder_outputs,
    "relu_prelu": decoder_outputs,
    "max_prelu": decoder_outputs,
    "padded_inputs": decoder_outputs,
    "batch_pair": pair_outputs,
    "row_warp": pair_outputs,
    "offset_grid": pair_outputs,
    "lookup_warp": pair_outputs,
}
"""Rewrite -> the part of the graph that it changes."""

BEFORE = {"subpixel_rest": ("flow_apart",), "row_warp": ("batch_pair",)}
"""What a rewrite stands on."""


def test_every_rewrite_is_tested() -> None:
    assert {*PARTS, *MEANS, "joined_padding"} == set(REWRITES)


def differs(found: list[Tensor], expected: list[Tensor]) -> bool:
    try:
        assert_exact(torch.cat([x.flatten() for x in found]), torch.cat([x.flatten() for x in expected]))
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("name", PARTS)
def test_a_rewrite_is_exact(model: IFRNet, name: str) -> None:
    before, after = build_graph(model, ()), build_graph(model, (*BEFORE.get(name, ()), name))
    for found, expected in zip(PARTS[name](after), PARTS[name](before), strict=True):
        assert_exact(found, expected)


@pytest.mark.parametrize("name", PARTS)
def test_a_small_error_in_a_rewrite_is_seen(model: IFRNet, name: str) -> None:
    before, after = build_graph(model, ()), build_graph(model, (*BEFORE.get(name, ()), name))
    part = after.pair if PARTS[name] is pair_outputs else after.decoders
    convolution = next(m for m in part.modules() if isinstance(m, nn.Conv2d))
    convolution.weight.data[0, 0, 1, 1] += 1e-6
    assert differs(PARTS[name](after), PARTS[name](before))


@pytest.mark.parametrize("error", ["order", "sign", "taps", "flow"])
def test_wrong_algebra_in_a_decoder_is_seen(model: IFRNet, error: str) -> None:
    """The mistakes that these rewrites invite."""
    before, after = build_graph(model, ()), build_graph(model, ("flow_apart", "subpixel_deconv", "relu_prelu"))
    assert not differs(decoder_outputs(after), decoder_outputs(before))
    for module in after.decoders.modules():
        if error == "sign" and hasattr(module, "slope"):
            module.get_parameter("slope").neg_()
        if error == "flow" and hasattr(module, "side") and isinstance(module.side, nn.Conv2d):
            module.side.weight.copy_(module.side.weight.flip(1))
        if isinstance(module, nn.Conv2d) and module.out_channels % 16 == 0:  # four phases of a flow, or more
            weight = module.weight.reshape(-1, 2, 2, *module.weight.shape[1:])
            if error == "order":
                module.weight.copy_(weight.transpose(1, 2).reshape(module.weight.shape))
            if error == "taps":
                module.weight.copy_(module.weight.flip(3))
    assert differs(decoder_outputs(after), decoder_outputs(before))


@pytest.mark.parametrize(
    "rewrites",
    [
        ("offset_grid",),
        ("batch_pair",),
        ("batch_pair", "offset_grid"),
        ("lookup_warp",),
        ("batch_pair", "lookup_warp"),
    ],
)
@pytest.mark.parametrize("error", ["axes", "mode", "frames"])
def test_a_wrong_warp_is_seen(
    model: IFRNet, rewrites: tuple[str, ...], error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = build_graph(model, ()), build_graph(model, rewrites)
    assert not differs(pair_outputs(after), pair_outputs(before))
    assert isinstance(after.pair, SeparatePair)
    sample: Callable[[Tensor, Tensor], Tensor] = after.pair.sample

    def wrong(img: Tensor, flow: Tensor) -> Tensor:
        if error == "axes":
            flow = flow.flip(1)
        if error == "mode":
            flow = flow.round()
        return sample(img.flip(0) if len(img) == 2 else img.flip(1), flow) if error == "frames" else sample(img, flow)

    monkeypatch.setattr(after.pair, "sample", wrong)
    assert differs(pair_outputs(after), pair_outputs(before))


def test_padding_by_joining_is_exact_and_an_error_is_seen(model: IFRNet, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = build_graph(model, ()), build_graph(model, ("joined_padding",))
    for found, expected in zip(padded_outputs(after), padded_outputs(before), strict=True):
        assert torch.equal(found, expected)
    monkeypatch.setattr(after, "replicate", lambda img, right, bottom: pad_by_joining(img, right, bottom).roll(1, 2))
    assert differs(padded_outputs(after), padded_outputs(before))


@pytest.mark.parametrize("size", ["1x1", "1x5", "7x1", "2x2", "33x9"])
@pytest.mark.parametrize("rows", [1, FLOAT_ROWS])
def test_a_warp_by_lookups_is_exact_at_every_edge(size: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far outside, on the outermost pixels, and between them; row numbers in integers and in floating point."""
    monkeypatch.setattr(lookup_module, "FLOAT_ROWS", rows)
    width, height = (int(side) for side in size.split("x"))
    generator = torch.Generator().manual_seed(4)
    img = torch.randn(2, 5, height, width, generator=generator, dtype=torch.float64)
    for flow in (
        20.0 * torch.randn(2, 2, height, width, generator=generator, dtype=torch.float64),
        torch.randint(-3, 4, (2, 2, height, width), generator=generator).double(),
        torch.full((2, 2, height, width), 1e6, dtype=torch.float64),
        torch.full((2, 2, height, width), -1e6, dtype=torch.float64),
    ):
        assert_exact(warp_by_lookups(img, flow), warp(img, flow))


@pytest.mark.parametrize("exact", [True, False])
def test_rows_are_counted_beyond_what_float32_holds(exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image of more than 2^24 pixels: float32 has no odd numbers there, so a neighbour would be looked up."""
    if not exact:
        monkeypatch.setattr(lookup_module, "FLOAT_ROWS", 2**40)
    width, height = 2**22 + 2, 5
    img = (torch.arange(width * height) % 7).float().view(1, 1, height, width)
    found = warp_by_lookups(img, torch.zeros(1, 2, height, width))
    assert torch.equal(found, img) == exact


@pytest.mark.usefixtures("eager_pooling")
@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("size", ["1x1", "7x3", "49x48", "131x77", "77x131", "641x353", "1278x718"])
def test_a_mean_is_the_mean_of_the_real_pixels(model: IFRNet, mean: str, size: str) -> None:
    width, height = (int(side) for side in size.split("x"))
    graph = build_graph(model, (mean,), size=(height, width))
    img0, img1 = (torch.from_numpy(frame).double() for frame in moving_pair(Size(width, height)))
    expected = torch.cat((img0, img1)).mean()
    found = graph.mean(img0, img1)
    assert found.shape == (1, 1, 1, 1)
    assert abs(float(found) - float(expected)) < EXACT
    assert abs(float(graph.mean(img0, img1 * 0.999)) - float(expected)) > 1e-5


@pytest.mark.usefixtures("eager_pooling")
def test_a_mean_over_the_padding_is_seen(model: IFRNet) -> None:
    size = Size(131, 77)
    graph = build_graph(model, ("pooled_mean",), size=(77, 131))
    img0, img1 = (torch.from_numpy(frame).double() for frame in moving_pair(size))
    setattr(graph.mean, "factor", 1.0 / 6.0)  # noqa: B010  # counts the zeros beyond the frame
    assert abs(float(graph.mean(img0, img1)) - float(torch.cat((img0, img1)).mean())) > 1e-3


def test_windows_tile_every_side() -> None:
    for side in range(1, MAX_SIDE + 1):
        window, padding = pooling_window(side)
        assert (side + 2 * padding) % window == 0
        assert 2 * padding <= window <= 64  # PyTorch pads by half a window at most


def test_the_heads_are_split_where_they_give_features_only(model: IFRNet) -> None:
    graph = build_graph(model, ("flow_apart", "subpixel_rest"))
    kinds = [
        (type(d.get_submodule("flow")).__name__, hasattr(getattr(d, "rest", None), "conv")) for d in graph.decoders
    ]
    assert kinds == [("ConvTranspose2d", False), *[("ConvTranspose2d", True)] * 3]
    with pytest.raises(ValueError, match="after flow_apart"):
        build_graph(model, ("subpixel_rest",))


def test_pooled_mean_needs_a_size(model: IFRNet) -> None:
    with pytest.raises(ValueError, match="static"):
        pooled_mean(build_graph(model, ()))


@pytest.mark.parametrize("mean", MEANS)
def test_a_mean_in_float32_is_accurate_in_onnx_runtime(model: IFRNet, mean: str) -> None:
    """The real operator, on a frame large enough that adding one pixel after the other is 3e-5 off."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    graph = build_graph(model, (mean,), size=(353, 641))
    img0, img1 = moving_pair(Size(641, 353))
    inputs = torch.from_numpy(img0), torch.from_numpy(img1)
    with warnings.catch_warnings(action="ignore"):  # as export.trace does
        program = torch.onnx.export(graph.mean, inputs, dynamo=True, opset_version=18, verbose=False)
    assert program is not None
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {item.name: img for item, img in zip(session.get_inputs(), (img0, img1), strict=True)}
    found = session.run(None, feeds)[0].item()
    assert abs(found - float(np.mean([img0, img1], dtype=np.float64))) < 1e-6


@pytest.mark.usefixtures("eager_pooling")
@pytest.mark.parametrize("size", ["131x77", "77x131", "160x96"])
def test_all_rewrites_together_are_the_network(model: IFRNet, size: str) -> None:
    width, height = (int(side) for side in size.split("x"))
    left_out = ("row_mean", "heads_apart")  # the one is of ONNX Runtime, the other stands in for flow_apart
    graph = build_graph(model, [name for name in REWRITES if name not in left_out], size=(height, width))
    img0, img1 = (torch.from_numpy(frame) for frame in moving_pair(Size(width, height)))
    t = torch.full((1, 1, 1, 1), 0.3)
    assert float((graph(img0, img1, t) - interpolate(model, img0, img1, t)).abs().max()) < 5e-5
