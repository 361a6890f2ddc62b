"""Bugs planted in rewrites and exporters: each fails the parity gate or a sentinel, with exit code 2.

Where a sentinel sees the bug first, the gate has to see it too with the sentinels switched off.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper
from torch import Tensor, nn

import export.graph
import export.rewrites
import export.source
from export.__main__ import main
from export.graph import BatchedPair, DeployGraph, SeparatePair
from ifrnet import warp
from runtimes import ParityError, load, verify
from runtimes.artifact import read_manifest
from runtimes.cli import run
from runtimes.contract import Verdict

SIZE = "77x131"
"""Not a multiple of 16, so that padding and crop are there to get wrong; the parity table has it too."""


def build(out: Path, target: str = "onnx") -> int:
    arguments = ["--target", target, "--model", "random:ifrnet_s", "--size", SIZE, "--out", str(out)]
    return run("python -m export", main, arguments)


def failed_the_gate(out: Path) -> None:
    """The artifact is there to look at, says that it failed, and is not loaded unless told otherwise."""
    (folder,) = out.iterdir()
    record = read_manifest(folder).parity_on("cpu")
    assert record.verdict is Verdict.FAILED
    assert "(limit 0.0002)" in record.reason
    assert json.loads((folder / "manifest.json").read_text())["parity"][0]["verdict"] == "failed"
    with pytest.raises(ParityError, match="failed parity on cpu"):
        load(folder)
    load(folder, allow_failed=True, threads=1).close()
    assert verify(folder).verdict is Verdict.FAILED, "the proof in the artifact missed what the gate saw"


# ---- bugs in the traced module ---------------------------------------------------------------------------------------


def swapped_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(img: Tensor, flow: Tensor) -> Tensor:
        return warp(img, flow.flip(1))

    monkeypatch.setattr(export.graph, "warp", wrong)


def dropped_residual(monkeypatch: pytest.MonkeyPatch) -> None:
    estimate = DeployGraph.estimate

    def wrong(self: DeployGraph, pair: tuple[Tensor, ...], t: Tensor) -> tuple[Tensor, Tensor]:
        flow, synthesis = estimate(self, pair, t)
        return flow, torch.cat((synthesis[:, :1], synthesis[:, 1:] * 0.0), dim=1)

    monkeypatch.setattr(DeployGraph, "estimate", wrong)


class PaddedMean(nn.Module):
    def forward(self, img0: Tensor, img1: Tensor) -> Tensor:
        pair = torch.cat((img0, img1), dim=1)
        pad = (0, -pair.shape[3] % 16, 0, -pair.shape[2] % 16)
        return F.pad(pair, pad, mode="replicate").mean(dim=(1, 2, 3), keepdim=True)


def mean_over_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(graph: DeployGraph) -> None:
        setattr(graph, "mean", PaddedMean())  # noqa: B010

    rewrites = dict(export.rewrites.REWRITES) | {"row_mean": wrong, "pooled_mean": wrong}
    monkeypatch.setattr(export.rewrites, "REWRITES", rewrites)


def reversed_time(monkeypatch: pytest.MonkeyPatch) -> None:
    estimate = DeployGraph.estimate
    monkeypatch.setattr(DeployGraph, "estimate", lambda self, pair, t: estimate(self, pair, 1.0 - t))


TRACED = (swapped_axes, dropped_residual, mean_over_padding, reversed_time)


@pytest.mark.parametrize("plant", TRACED, ids=lambda plant: plant.__name__)
def test_a_bug_in_the_graph_fails_the_gate(
    plant: Callable[[pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plant(monkeypatch)
    assert build(tmp_path) == 2
    failed_the_gate(tmp_path)
    assert "failed" in capsys.readouterr().out


def test_zeros_in_the_mean_of_ncnn_fail_the_gate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Counting the zeros that ``pooled_mean`` pads with."""
    pooled_mean = export.rewrites.pooled_mean

    def wrong(graph: DeployGraph) -> None:
        pooled_mean(graph)
        setattr(graph.mean, "factor", 1.0 / 6.0)  # noqa: B010

    monkeypatch.setattr(export.rewrites, "REWRITES", dict(export.rewrites.REWRITES) | {"pooled_mean": wrong})
    assert build(tmp_path, "ncnn") == 2
    failed_the_gate(tmp_path)


def test_one_tensor_for_both_frames_is_caught(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The pair joined from the first frame twice: the graph ignores img1."""
    join = SeparatePair.join
    monkeypatch.setattr(SeparatePair, "join", lambda self, img0, img1: join(self, img0, img0))
    monkeypatch.setattr(BatchedPair, "join", lambda self, img0, img1: (torch.cat((img0, img0)),))
    mean = dict(export.rewrites.REWRITES) | {"row_mean": lambda graph: setattr(graph, "mean", FirstMean())}
    monkeypatch.setattr(export.rewrites, "REWRITES", mean)
    assert build(tmp_path) == 2
    assert list(tmp_path.iterdir()) == []


class FirstMean(nn.Module):
    def forward(self, img0: Tensor, img1: Tensor) -> Tensor:
        return img0.mean(dim=(1, 2, 3), keepdim=True)


# ---- bugs in what comes after the trace ------------------------------------------------------------------------------


def nearest(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "GridSample" and attribute.name == "mode":
                attribute.s = b"nearest"


def zeros_beyond_the_border(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "GridSample" and attribute.name == "padding_mode":
                attribute.s = b"zeros"


def corners_not_aligned(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "GridSample" and attribute.name == "align_corners":
                attribute.i = 0


def img1_ignored(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.input[:] = ["img0" if name == "img1" else name for name in node.input]


def t_ignored(model: onnx.ModelProto) -> None:
    half = numpy_helper.from_array(np.full((1, 1, 1, 1), 0.5, np.float32), "half")
    model.graph.initializer.append(half)
    for node in model.graph.node:
        node.input[:] = ["half" if name == "t" else name for name in node.input]


def a_weight_is_wrong(model: onnx.ModelProto) -> None:
    weight = max(model.graph.initializer, key=lambda item: len(item.raw_data))
    value = numpy_helper.to_array(weight) * np.float32(1.01)
    weight.CopyFrom(numpy_helper.from_array(value, weight.name))


def frames_are_swapped(model: onnx.ModelProto) -> None:
    other = {"img0": "img1", "img1": "img0"}
    for node in model.graph.node:
        node.input[:] = [other.get(name, name) for name in node.input]


def the_output_is_off_by_one_pixel(model: onnx.ModelProto) -> None:
    """A pad of one column on the left that a crop on the right makes up for: the shapes stay right."""
    last = next(node for node in model.graph.node if "imgt" in node.output)
    last.output[:] = ["unshifted"]
    values = {"pads": np.array([0, 0, 0, 1, 0, 0, 0, -1], np.int64)}
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in values.items())
    model.graph.node.append(helper.make_node("Pad", ["unshifted", "pads"], ["imgt"], mode="edge"))


SENTINELS_SEE = (nearest, zeros_beyond_the_border, corners_not_aligned, img1_ignored, t_ignored)

ONLY_THE_GATE_SEES = (a_weight_is_wrong, frames_are_swapped, the_output_is_off_by_one_pixel)


@pytest.fixture
def traced(artifact: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the pipeline go on from a graph that is traced already, with a change."""
    model = onnx.load(artifact("onnx", size=SIZE) / "model.onnx")

    def change(plant: Callable[[onnx.ModelProto], None] = lambda model: None) -> None:
        changed = copy.deepcopy(model)
        plant(changed)
        monkeypatch.setattr(export.source, "trace", lambda *_: changed)

    return change


def test_the_graph_without_a_bug_passes(traced: Callable[..., None], tmp_path: Path) -> None:
    traced()
    assert build(tmp_path) == 0
    (folder,) = tmp_path.iterdir()
    load(folder, threads=1).close()
    assert verify(folder).verdict is Verdict.PASSED


@pytest.mark.parametrize("plant", SENTINELS_SEE, ids=lambda plant: plant.__name__)
def test_a_sentinel_stops_the_export(
    plant: Callable[[onnx.ModelProto], None],
    traced: Callable[..., None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    traced(plant)
    assert build(tmp_path) == 2
    assert list(tmp_path.iterdir()) == []
    error = capsys.readouterr().err
    assert error.startswith("python -m export: sentinel ")
    assert error.count("\n") == 1


@pytest.mark.parametrize("plant", SENTINELS_SEE + ONLY_THE_GATE_SEES, ids=lambda plant: plant.__name__)
def test_the_gate_sees_it_without_sentinels(
    plant: Callable[[onnx.ModelProto], None],
    traced: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(export.source, "guard", lambda *_: ())
    traced(plant)
    assert build(tmp_path) == 2
    failed_the_gate(tmp_path)


def test_openvino_in_bf16_fails_the_gate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What OpenVINO runs on a CPU with AVX512_BF16 unless asked not to; other CPUs run float32 and pass."""
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bfloat16")
    from runtimes.backends import openvino as ov

    monkeypatch.setattr(ov, "choose_hint", lambda *_: "bf16")
    assert build(tmp_path, "openvino") == 2
    failed_the_gate(tmp_path)
