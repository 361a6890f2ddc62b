"""One table: every target computes the network on frames that move.

The reference is ``ifrnet.interpolate`` on PyTorch. The frames are structured, the median flow is above 8 px and more
than 1 % of the samples lie outside of the frame; small or still frames would hide errors of a warp.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from export.parity_frames import moving_pair
from export.targets import target
from export.verify import FILES
from ifrnet import IFRNet, interpolate, load_model, pair_mean, resize, size_multiple
from runtimes import ParityNotRunWarning, load
from runtimes.artifact import SAVED_FILE, open_artifact, read_manifest
from runtimes.compare import Comparison, compare
from runtimes.contract import Precision, Size, Verdict
from runtimes.registry import runner

RANDOM, BUILTIN = "random:ifrnet_s", "ifrnet_s"

ROUNDING = "float32 rounds sampling positions by 1e-4 px, and the frames change by up to 0.3 a pixel"
VULKAN = ROUNDING + "; llvmpipe fuses multiplications and additions in another order"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One comparison: what runs where, on which frames, and how far from PyTorch it may be on the scale [0, 1]."""

    target: str
    device: str
    size: str
    tolerance: float
    reason: str
    precision: Precision = Precision.FP32
    model: str = RANDOM
    dynamic: bool = False
    scale: float = 1.0

    def __str__(self) -> str:
        kind = "dynamic" if self.dynamic else "static"
        return f"{self.target}-{self.device}-{self.precision}-{self.size}-{kind}-scale{self.scale:g}"


ROWS = (
    Row(target="onnx", device="cpu", size="160x96", tolerance=2e-4, reason=ROUNDING),
    Row(target="onnx", device="cpu", size="77x131", tolerance=2e-4, reason=ROUNDING),
    Row(target="onnx", device="cpu", size="131x77", dynamic=True, tolerance=2e-4, reason=ROUNDING),
    Row(target="onnx", device="cpu", size="96x160", dynamic=True, tolerance=2e-4, reason=ROUNDING),
    Row(target="onnx", device="cpu", size="131x77", dynamic=True, scale=0.5, tolerance=2e-4, reason=ROUNDING),
    Row(target="openvino", device="cpu", size="160x96", tolerance=2e-4, reason=ROUNDING),
    Row(target="openvino", device="cpu", size="77x131", tolerance=2e-4, reason=ROUNDING),
    Row(target="openvino", device="cpu", size="131x77", dynamic=True, tolerance=2e-4, reason=ROUNDING),
    Row(target="openvino", device="cpu", size="96x160", dynamic=True, tolerance=2e-4, reason=ROUNDING),
    Row(target="openvino", device="cpu", size="131x77", dynamic=True, scale=0.5, tolerance=2e-4, reason=ROUNDING),
    Row(target="openvino", device="cpu", size="1278x718", model=BUILTIN, tolerance=2e-4, reason=ROUNDING),
    Row(target="ncnn", device="cpu", size="160x96", tolerance=2e-4, reason=ROUNDING),
    Row(target="ncnn", device="cpu", size="77x131", tolerance=2e-4, reason=ROUNDING),
    Row(target="ncnn", device="cpu", size="131x77", scale=0.5, tolerance=2e-4, reason=ROUNDING),
    Row(target="ncnn", device="vulkan:0", size="96x64", tolerance=2e-4, reason=VULKAN),
    Row(target="ncnn", device="native/cpu", size="160x96", tolerance=2e-4, reason=ROUNDING),
    Row(target="ncnn", device="native/cpu", size="77x131", tolerance=2e-4, reason=ROUNDING),
    Row(target="ncnn", device="native/cpu", size="131x77", scale=0.5, tolerance=2e-4, reason=ROUNDING),
    Row(target="ncnn", device="native/vulkan:0", size="96x64", tolerance=2e-4, reason=VULKAN),
    Row(target="mnn", device="cpu", size="160x96", tolerance=2e-4, reason=ROUNDING),
    Row(target="mnn", device="cpu", size="77x131", tolerance=2e-4, reason=ROUNDING),
    Row(target="mnn", device="cpu", size="131x77", dynamic=True, tolerance=2e-4, reason=ROUNDING),
    Row(target="mnn", device="cpu", size="96x160", dynamic=True, tolerance=2e-4, reason=ROUNDING),
    Row(target="mnn", device="cpu", size="131x77", dynamic=True, scale=0.5, tolerance=2e-4, reason=ROUNDING),
    Row(target="web", device="cpu", size="160x96", tolerance=2e-4, reason=ROUNDING),
    Row(target="web", device="cpu", size="131x77", dynamic=True, tolerance=2e-4, reason=ROUNDING),
    Row(target="litert", device="cpu", size="160x96", tolerance=2e-4, reason=ROUNDING),
    Row(target="litert", device="cpu", size="77x131", tolerance=2e-4, reason=ROUNDING),
    Row(target="litert", device="cpu", size="131x77", scale=0.5, tolerance=2e-4, reason=ROUNDING),
    Row(target="executorch", device="cpu", size="160x96", tolerance=2e-4, reason=ROUNDING),
    Row(target="executorch", device="cpu", size="77x131", tolerance=2e-4, reason=ROUNDING),
    Row(target="executorch", device="cpu", size="131x77", scale=0.5, tolerance=2e-4, reason=ROUNDING),
    Row(target="coreml", device=SAVED_FILE, size="160x96", tolerance=2e-4, reason=ROUNDING),
    Row(target="coreml", device=SAVED_FILE, size="77x131", tolerance=2e-4, reason=ROUNDING),
    Row(target="coreml", device=SAVED_FILE, size="131x77", scale=0.5, tolerance=2e-4, reason=ROUNDING),
    Row(target="trt", device="cuda:0", size="160x96", tolerance=2e-4, reason=ROUNDING),
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Frames, what PyTorch makes of them, and how much they move."""

    img0: np.ndarray
    img1: np.ndarray
    t: np.ndarray
    expected: np.ndarray
    median_flow: float
    outside: float


@functools.cache
def case(model_name: str, size: str, scale: float) -> Case:
    model = load_model(model_name)
    frames = moving_pair(Size.parse(size))
    img0, img1 = (torch.from_numpy(frame) for frame in frames)
    t = torch.full((1, 1, 1, 1), 0.3)
    median, outside = motion(model, img0, img1, t, scale)
    with torch.inference_mode():
        expected = interpolate(model, img0, img1, t, scale).numpy()
    return Case(img0=frames[0], img1=frames[1], t=t.numpy(), expected=expected, median_flow=median, outside=outside)


@torch.inference_mode()
def motion(model: IFRNet, img0: torch.Tensor, img1: torch.Tensor, t: torch.Tensor, scale: float) -> tuple[float, float]:
    """Median flow in pixels of the frame, and the share of samples outside of the frame."""
    multiple = size_multiple(scale)
    pad = (0, -img0.shape[3] % multiple, 0, -img0.shape[2] % multiple)
    padded = [F.pad(img - pair_mean(img0, img1), pad, mode="replicate") for img in (img0, img1)]
    img0, img1 = (img if scale == 1.0 else resize(img, scale) for img in padded)
    estimate = model.estimate(img0, img1, t)
    flow = torch.cat((estimate.flows0[0], estimate.flows1[0]))  # (2, 2, H * scale, W * scale)
    height, width = flow.shape[2:]
    x = torch.arange(width).view(1, 1, -1) + flow[:, 0]
    y = torch.arange(height).view(1, -1, 1) + flow[:, 1]
    outside = (x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)
    return float(flow.norm(dim=1).median()) / scale, float(outside.float().mean())


def passes(row: Row, found: Comparison) -> bool:
    """The rule of the table; PSNR catches what is spread over the frame."""
    return found.max_error <= row.tolerance and found.psnr >= 80.0


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_parity(
    row: Row,
    artifact: Callable[..., Path],
    require_device: Callable[[str, str], None],
    ran: Callable[[str], None],
) -> None:
    backend = runner(target(row.target).BACKEND, row.device).ABOUT.name
    if row.device != SAVED_FILE:
        require_device(backend, row.device)
    size = {} if row.dynamic else {"size": row.size}
    path = artifact(row.target, model=row.model, precision=row.precision, dynamic=row.dynamic, scale=row.scale, **size)
    reference = case(row.model, row.size, row.scale)
    assert reference.median_flow > 8.0
    assert reference.outside > 0.01
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ParityNotRunWarning)  # software devices are not verified unless asked for
        if row.device == SAVED_FILE:  # what it means, since nothing here runs it
            runtime = FILES[backend](open_artifact(path))
        else:
            runtime = load(path, device=row.device, threads=2)
    with runtime:
        found = compare(runtime.infer(reference.img0, reference.img1, reference.t), reference.expected)
    assert passes(row, found), f"{found}: {row.reason}"
    kind = row.device.rpartition("/")[2].partition(":")[0]
    ran(f"{backend}:{kind}" if backend in ("ncnn", "native", "coreml", "tensorrt") else backend)


GATED = [row for row in ROWS if row.device in ("cpu", SAVED_FILE) and row.size != "1278x718"]


@pytest.mark.parametrize("row", GATED, ids=str)
def test_the_gate_of_the_export_agrees(row: Row, artifact: Callable[..., Path]) -> None:
    size = {} if row.dynamic else {"size": row.size}
    path = artifact(row.target, model=row.model, precision=row.precision, dynamic=row.dynamic, scale=row.scale, **size)
    if row.device == SAVED_FILE and not runner(target(row.target).BACKEND, None).missing():
        pytest.skip("its backend gives the verdicts here")
    record = read_manifest(path).parity_on(row.device)
    assert record.verdict is (Verdict.CHECKED if row.device == SAVED_FILE else Verdict.PASSED)
    assert record.arithmetic == row.precision
    assert all(result.median_flow > 8.0 and result.max_error <= row.tolerance for result in record.results)
    assert {result.t for result in record.results} == {0.25, 0.5}
    sizes = {str(result.size) for result in record.results}
    assert sizes == ({"333x251", "154x85"} if row.dynamic else {row.size})


@pytest.mark.parametrize("row", ROWS[:1], ids=str)
@pytest.mark.parametrize(
    "change", ["pixel", "shift", "noise", "brightness", "average", "frame", "nan", "half", "other time"]
)
def test_the_table_sees_a_perturbed_output(row: Row, change: str) -> None:
    reference = case(row.model, row.size, row.scale)
    assert passes(row, compare(reference.expected.copy(), reference.expected))
    output = reference.expected.copy()
    if change == "pixel":
        output[0, 1, 40, 70] += 3e-4
    elif change == "shift":
        output = np.roll(output, 1, axis=3)
    elif change == "noise":
        output += np.random.default_rng(0).uniform(-1.9e-4, 1.9e-4, output.shape)  # each below the limit
    elif change == "brightness":
        output += 1.5e-4
    elif change == "average":
        output = (reference.img0 + reference.img1) / 2
    elif change == "frame":
        output = reference.img0
    elif change == "nan":
        output[0, 0, 0, 0] = np.nan
    elif change == "half":
        output = output.astype(np.float16).astype(np.float32)
    else:
        model = load_model(row.model)
        img0, img1 = torch.from_numpy(reference.img0), torch.from_numpy(reference.img1)
        output = interpolate(model, img0, img1, torch.full((1, 1, 1, 1), 0.31)).numpy()
    assert not passes(row, compare(output, reference.expected))


def test_still_frames_would_not_do() -> None:
    """The measure of motion is one: a freshly initialised network moves by less than a pixel."""
    torch.manual_seed(0)
    model = IFRNet(load_model(RANDOM).variant).eval()
    img0, img1 = (torch.from_numpy(frame) for frame in moving_pair(Size(160, 96)))
    median, _ = motion(model, img0, img1, torch.full((1, 1, 1, 1), 0.5), 1.0)
    assert median < 1.0
