"""Target executorch: what is read back, what the converter may do, and the workaround that can go one day."""

from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from export import executorch_converter, to_executorch
from export.errors import ExportError, SentinelError
from export.executorch_int8 import _Int8Convolution
from export.executorch_layers import SENTINELS, File, check_file, multiplications, warped_sizes
from export.options import Delegate, ExportOptions
from export.pipeline import Pipeline
from runtimes.artifact import read_manifest
from runtimes.contract import Precision, Size, SizeRange, Verdict

SIZE = Size(160, 96)

needs_executorch = pytest.mark.skipif(bool(to_executorch.missing()), reason=to_executorch.missing() or "installed")


def convolution(kind: str, taken: str, weights: str, channels: int = 8) -> dict[str, Any]:
    tensors = {
        "input1": [taken, [1, 96, 160, channels]],
        "filter": [weights, [channels, 3, 3, channels]],
        "output": ["fp32" if taken == "qdint8" else taken, [1, 96, 160, channels]],
    }
    return {"kind": kind, "tensors": tensors, "bounds": None}


def plain(kind: str, kept: str = "fp32", bounds: list[float] | None = None) -> dict[str, Any]:
    return {"kind": kind, "tensors": {"input": [kept, [1, 8]], "output": [kept, [1, 8]]}, "bounds": bounds}


@pytest.fixture
def file() -> File:
    """The least that the sentinels look at, of a file for XNNPACK."""
    frame = {"dims": [1, 3, 96, 160], "type": "float"}
    lookup = {"kind": "aten::embedding.out", "types": ["float", "int", "float"], "numbers": [-1, False, False]}
    means = [{"kind": "aten::mean.out", "types": ["float", "float"], "numbers": [[axis], True]} for axis in (3, 2, 1)]
    clamps = [
        plain("XNNClamp", bounds=bounds)
        for side in (160, 96, 80, 48, 40, 24, 20, 12)
        for bounds in ([0.0, side - 1.0], [-math.inf, side - 2.0])
    ]
    nodes = [convolution("XNNConv2d", "fp32", "fp32"), plain("XNNSubtract"), *(plain("XNNFloor") for _ in range(8))]
    return File(
        inputs=[frame, frame, {"dims": [1, 1, 1, 1], "type": "float"}],
        outputs=[frame],
        kernels=[*means, *(copy.deepcopy(lookup) for _ in range(16))],
        delegates=[{"name": "XnnpackBackend", "nodes": [*nodes, *clamps]}],
        delegate_calls=1,
        size=SIZE,
        scale=1.0,
        precision=Precision.FP32,
        delegate=Delegate.XNNPACK,
    )


@pytest.fixture
def vulkan(file: File) -> File:
    """The same for Vulkan."""
    warp = {"kind": "aten.grid_sampler_2d.default", "types": ["float32"] * 3, "numbers": [0, 1, True]}
    mean = {"kind": "aten.mean.dim", "types": ["float32"] * 2, "numbers": [True]}
    nodes = [copy.deepcopy(node) for node in (*[warp] * 8, *[mean] * 3)]
    delegates = [{"name": "VulkanBackend", "nodes": nodes}]
    return replace(file, kernels=[], delegates=delegates, delegate=Delegate.VULKAN)


def with_nodes(file: File, *nodes: dict[str, Any], without: str = "") -> File:
    kept = [node for node in file.delegates[0]["nodes"] if node["kind"] != without]
    return replace(file, delegates=[{**file.delegates[0], "nodes": [*kept, *nodes]}])


def fires(sentinel: str, file: File, message: str) -> None:
    assert sentinel in SENTINELS
    with pytest.raises(SentinelError, match=f"sentinel {sentinel}: ") as caught:
        check_file(file)
    assert message in str(caught.value)


def test_right_files_pass(file: File, vulkan: File) -> None:
    details = check_file(file)
    assert details["portable_kernels"] == {"aten::embedding.out": 16, "aten::mean.out": 3}
    assert details["convolutions"] == {"fp32": 1.0}
    assert check_file(vulkan)["warps"]["grid_samplers"] == 8


def test_another_delegate_is_seen(file: File, vulkan: File) -> None:
    fires("executorch-delegates", replace(file, delegates=vulkan.delegates), "not of XnnpackBackend alone")
    fires("executorch-delegates", replace(file, delegates=[]), "its delegates are {}")
    fires("executorch-delegates", replace(vulkan, kernels=file.kernels), "the network is cut: 1 calls of delegates, 19")
    fires("executorch-delegates", replace(vulkan, delegate_calls=3), "the network is cut")


@pytest.mark.parametrize(
    "kind", ["aten::convolution.out", "aten::grid_sampler_2d.out", "aten::upsample_bilinear2d.vec_out"]
)
def test_what_fell_out_of_the_delegates_is_seen(kind: str, file: File) -> None:
    call = {"kind": kind, "types": ["float", "float"], "numbers": []}
    fires("executorch-fallback", replace(file, kernels=[*file.kernels, call]), f"portable kernels run {{'{kind}': 1}}")


def test_warps_by_look_up_are_held_to_border_and_bilinear(file: File) -> None:
    fires("executorch-warps", replace(file, kernels=file.kernels[:-1]), "looks up 15 times, not 16")
    half = {**file.kernels[-1], "types": ["half", "int", "half"]}
    fires("executorch-warps", replace(file, kernels=[*file.kernels[:-1], half]), "rows of half")
    nodes = file.delegates[0]["nodes"]
    border = next(node for node in nodes if node["bounds"] == [0.0, 79.0])
    cell = next(node for node in nodes if node["bounds"] == [-math.inf, 94.0])
    for gone, message in (
        (border, "no positions are clamped to (0.0, 79.0)"),
        (cell, "no cells are clamped to (-inf, 94"),
    ):
        rest = [{**file.delegates[0], "nodes": [node for node in nodes if node is not gone]}]
        fires("executorch-warps", replace(file, delegates=rest), message)
    fires("executorch-warps", with_nodes(file, without="XNNFloor"), "0 positions are rounded down, not 8")


@pytest.mark.parametrize("numbers", [[1, 1, True], [0, 0, True], [0, 1, False]])
def test_warps_of_vulkan_are_held_to_border_and_bilinear(numbers: list[Any], vulkan: File) -> None:
    broken = copy.deepcopy(vulkan)
    broken.delegates[0]["nodes"][3]["numbers"] = numbers
    fires("executorch-warps", broken, f"a warp samples with {numbers}, not [0, 1, True]")
    fires("executorch-warps", with_nodes(vulkan, without="aten.grid_sampler_2d.default"), "0 warps, not 8")


def test_sizes_of_what_is_warped() -> None:
    assert warped_sizes(Size(77, 131), 1.0) == [(80, 144), (40, 72), (20, 36), (10, 18)]
    assert warped_sizes(Size(131, 77), 0.5) == [(160, 96), (40, 24), (20, 12), (10, 6)]


def test_the_precision_of_convolutions_is_read(file: File, vulkan: File) -> None:
    int8, half = (
        with_nodes(replace(file, precision=precision), *[convolution("XNNConv2d", *types)] * 10)
        for precision, types in ((Precision.INT8, ("qdint8", "qcint8")), (Precision.FP16, ("fp16", "fp16")))
    )
    assert check_file(int8)["convolutions"] == {"fp32": 0.0909, "int8": 0.9091}
    assert "activations" in check_file(int8)
    fires("executorch-precision", replace(int8, precision=Precision.FP32), "9.1% of the multiplications are in fp32")
    fires("executorch-precision", half, "90.9% of the multiplications are in fp16, not 95%")
    fires("executorch-precision", replace(file, precision=Precision.INT8), "0.0% of the multiplications are in int8")
    broken = copy.deepcopy(vulkan)
    broken.delegates[0]["nodes"][0]["types"][1] = "float16"
    fires("executorch-precision", broken, "not float32")


def test_multiplications() -> None:
    assert multiplications(convolution("XNNConv2d", "fp32", "fp32", 8)) == 96 * 160 * 8 * 9 * 8
    assert multiplications(convolution("XNNConvTranspose2d", "fp32", "fp32", 8)) == 96 * 160 * 8 * 9 * 8
    assert multiplications(convolution("XNNDepthwiseConv2d", "fp32", "fp32", 8)) == 96 * 160 * 8 * 9


@pytest.mark.parametrize("kind", ["XNNFloor", "XNNStaticResizeBilinear2D", "XNNSubtract", "XNNMultiply", "XNNSigmoid"])
def test_flow_in_half_precision_is_seen(kind: str, file: File) -> None:
    nodes = [node for node in file.delegates[0]["nodes"] if node["kind"] != kind]
    changed = [plain(kind, "fp16") for _ in range(8)]
    broken = replace(file, delegates=[{**file.delegates[0], "nodes": [*nodes, *changed]}])
    fires("executorch-float32-flow", broken, f"{kind} is computed in fp16, not fp32")


def test_a_mean_in_half_precision_or_in_one_go_is_seen(file: File, vulkan: File) -> None:
    first = {**file.kernels[0], "types": ["half", "half"]}
    fires(
        "executorch-float32-flow",
        replace(file, kernels=[first, *file.kernels[1:]]),
        "aten::mean.out is computed in half",
    )
    whole = {**file.kernels[0], "numbers": [[1, 2, 3], True]}
    fires("executorch-mean", replace(file, kernels=[whole, *file.kernels[3:]]), "the mean is taken over [[1, 2, 3]]")
    fires("executorch-mean", with_nodes(vulkan, without="aten.mean.dim"), "in 0 steps, not 3")


def test_other_inputs_are_seen(file: File) -> None:
    turned = {"dims": [1, 3, 160, 96], "type": "float"}
    fires("executorch-contract", replace(file, inputs=[turned, *file.inputs[1:]]), "inputs and outputs are")
    fires("executorch-contract", replace(file, inputs=[*file.inputs[:2]]), "inputs and outputs are")
    fires("executorch-contract", replace(file, outputs=[turned]), "inputs and outputs are")


def test_the_int8_convolution_is_the_float_one_rounded() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 16, 3, 2, 1)
    x = torch.randn(2, 8, 20, 24)
    exact, found = conv(x), _Int8Convolution(conv)(x)
    assert found.shape == exact.shape
    error = (found - exact).abs().max() / exact.abs().max()
    assert 1e-4 < error < 0.03


REFUSED = [
    ({"sizes": SizeRange(minimum=Size(32, 32), typical=SIZE, maximum=Size(400, 300))}, "has no --dynamic"),
    (
        {"delegate": Delegate.VULKAN, "precisions": (Precision.FP16,)},
        "has no fp16 with --delegate vulkan (ExecuTorch's",
    ),
    ({"delegate": Delegate.VULKAN, "precisions": (Precision.INT8,)}, "has no int8 with --delegate vulkan"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_what_it_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError) as caught:
        to_executorch.check(ExportOptions(targets=("executorch",), **options))
    assert message in str(caught.value)


def test_both_files_of_a_network_have_room() -> None:
    options = ExportOptions(targets=("executorch",), delegate=Delegate.VULKAN)
    assert options.artifact_name("m", "executorch", Precision.FP32) == "m-executorch-fp32-1280x720-vulkan"
    assert options.artifact_name("m", "onnx", Precision.FP32) == "m-onnx-fp32-1280x720"


# ---- the converter -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("print('a page'); print('RuntimeError: no such op'); print('bye'); raise SystemExit(3)",
         "ended with code 3: RuntimeError: no such op; the whole log is "),
        ("import os, signal; print('so far', flush=True); os.kill(os.getpid(), signal.SIGSEGV)",
         "ended with signal 11: so far; the whole log is "),
        ("pass", "ended with code 0: it printed nothing"),
        ("import time; time.sleep(60)", "did not end within 1 s: export a smaller size; the log is "),
    ],
    ids=["error", "signal", "nothing", "time"],
)  # fmt: skip
def test_a_converter_that_dies_is_one_line_and_its_log_is_kept(
    script: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "script.py").write_text(script)
    monkeypatch.setattr(executorch_converter, "__file__", str(tmp_path / "script.py"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if "sleep" in script:
        monkeypatch.setattr(to_executorch, "TIMEOUT_S", 1)
    with pytest.raises(ExportError) as caught:
        to_executorch.run_converter(tmp_path / "program.pt2", Delegate.XNNPACK, tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    (log,) = tmp_path.glob("ifrnet-executorch-*.log")
    assert str(log) in str(caught.value)
    assert ("a page" in log.read_text()) == ("a page" in script)
    assert capfd.readouterr() == ("", "")


@needs_executorch
def test_a_program_that_is_none_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "program.pt2").write_bytes(b"garbage")
    with pytest.raises(ExportError, match="ExecuTorch's converter ended with code 1: ") as caught:
        to_executorch.run_converter(tmp_path / "program.pt2", Delegate.XNNPACK, tmp_path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_half_weights_are_forced_to_float32_for_convolutions_only() -> None:
    calls = []

    class Visitor:
        def define_tensor(self, tensor: str, **options: object) -> None:
            calls.append((tensor, options["force_fp32"]))

    executorch_converter.keep_half(Visitor)
    options = {"convert_to_nhwc": True, "force_fp32": True}
    Visitor().define_tensor("kernel", **options, swap_in_out_for_weights=False)
    Visitor().define_tensor("transposed kernel", **options, swap_in_out_for_weights=True)
    Visitor().define_tensor("bias", convert_to_nhwc=False, force_fp32=True)
    assert calls == [("kernel", False), ("transposed kernel", True), ("bias", True)]


# ---- what is built -----------------------------------------------------------------------------------------------


def build(out: Path, precision: Precision, **changes: Any) -> tuple[Path, Verdict]:
    options = ExportOptions(targets=("executorch",), precisions=(precision,), out=out, **changes)
    pipeline = Pipeline(options, lambda line: None)
    (job,) = pipeline.jobs()
    outcome = pipeline.build(job)
    return outcome.path, outcome.verdict


@needs_executorch
def test_what_was_built_is_in_the_manifest(artifact: Callable[..., Path]) -> None:
    path = artifact("executorch")
    manifest = read_manifest(path)
    assert manifest.details["delegate"] == "xnnpack"
    assert manifest.details["warps"]["lookups"] == 16
    assert manifest.details["convolutions"] == {"fp32": 1.0}
    assert "aten::embedding.out" in manifest.details["portable_kernels"]
    assert manifest.parity_on("cpu").verdict is Verdict.PASSED
    assert sorted(item.name for item in path.iterdir()) == ["manifest.json", "model.pte", "proof.dat"]


@needs_executorch
def test_int8_passes_its_gate_without_scales(tmp_path: Path) -> None:
    path, verdict = build(tmp_path, Precision.INT8, sizes=SizeRange.static(SIZE))
    assert verdict is Verdict.PASSED
    details = read_manifest(path).details
    assert details["quality"]["cpu"]["drop"] <= 0.1
    assert details["quality"]["cpu"]["int8_vs_fp32"] >= 42.0
    assert details["convolutions"]["int8"] >= 0.88
    assert "calibration" not in details
    assert (path / "model.pte").stat().st_size <= 4.5e6


@needs_executorch
def test_vulkan_is_one_delegate_and_not_run(tmp_path: Path) -> None:
    changes = {"model": "random:ifrnet_s", "sizes": SizeRange.static(SIZE), "delegate": Delegate.VULKAN}
    path, verdict = build(tmp_path, Precision.FP32, **changes)
    assert path.name.endswith("-vulkan")
    assert verdict is Verdict.NOT_RUN
    manifest = read_manifest(path)
    assert {record.device: record.verdict for record in manifest.parity} == dict.fromkeys(
        ("cpu", "vulkan:0"), Verdict.NOT_RUN
    )
    assert all(record.reason for record in manifest.parity)
    assert manifest.rewrites == to_executorch.VULKAN_REWRITES
    assert manifest.details["delegate"] == "vulkan"
    assert (manifest.details["delegates"], manifest.details["portable_kernels"]) == (1, {})
    assert manifest.details["warps"] == {
        "mode": "bilinear",
        "padding_mode": "border",
        "align_corners": True,
        "grid_samplers": 8,
    }


FIXED_SCALES = """
import torch
import torch.ao.quantization.fx._decomposed
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
ops = torch.ops.quantized_decomposed
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("w", torch.randint(-127, 128, (8, 8, 3, 3), dtype=torch.int8))
        self.register_buffer("s", torch.full((8,), 0.01))
        self.register_buffer("z", torch.zeros(8, dtype=torch.int64))
    def forward(self, x):
        q = ops.quantize_per_tensor(x, 0.02, 0, -128, 127, torch.int8)
        x = ops.dequantize_per_tensor(q, 0.02, 0, -128, 127, torch.int8)
        w = ops.dequantize_per_channel(self.w, self.s, self.z, 0, -127, 127, torch.int8)
        return torch.nn.functional.conv2d(x, w, None, 1, 1)
program = torch.export.export(Net(), (torch.randn(1, 8, 16, 16),))
to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
print("LOWERED")
"""


@needs_executorch
def test_at_fixed_scales_xnnpack_gives_no_float32() -> None:
    """Once it does, scales of calibration may serve: see to_executorch.graph_precision."""
    done = subprocess.run([sys.executable, "-c", FIXED_SCALES], capture_output=True, text=True)
    assert "LOWERED" not in done.stdout, "int8 convolutions at fixed scales give float32 now"
    assert "Missing out variants: {'quantized_decomposed::dequantize_per_channel'}" in done.stderr


def test_the_report_is_json_that_the_sentinels_read(file: File) -> None:
    """Infinity survives, which JSON by itself lacks."""
    fields = {name: getattr(file, name) for name in ("inputs", "outputs", "kernels", "delegates", "delegate_calls")}
    again = json.loads(json.dumps(fields))
    assert check_file(replace(file, **again)) == check_file(file)
    assert np.isinf([node["bounds"][0] for node in again["delegates"][0]["nodes"] if node["bounds"]]).any()
