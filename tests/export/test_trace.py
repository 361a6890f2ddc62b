"""The ONNX that every target starts from: opset, contract, nothing of this machine in it, the same twice."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto

from export.__main__ import main
from export.errors import ExportError, SentinelError
from export.parity_frames import moving_pair
from export.source import Source
from export.trace import OPSET, save, simplify
from ifrnet import random_model
from runtimes.artifact import read_manifest
from runtimes.contract import Precision, Size, SizeRange, Verdict

Factory = Callable[..., Path]


@pytest.fixture(params=["static", "dynamic"])
def written(request: pytest.FixtureRequest, artifact: Factory) -> onnx.ModelProto:
    return onnx.load(artifact("onnx", dynamic=request.param == "dynamic") / "model.onnx")


def test_the_opset_is_the_one_that_every_parser_reads(written: onnx.ModelProto) -> None:
    assert {(item.domain, item.version) for item in written.opset_import} == {("", OPSET)} == {("", 18)}
    onnx.checker.check_model(written, full_check=True)


def test_inputs_and_outputs_are_the_contract(artifact: Factory) -> None:
    graph = onnx.load(artifact("onnx") / "model.onnx").graph
    shapes = {
        item.name: [dim.dim_value for dim in item.type.tensor_type.shape.dim] for item in (*graph.input, *graph.output)
    }
    frame = [1, 3, 96, 160]
    assert shapes == {"img0": frame, "img1": frame, "t": [1, 1, 1, 1], "imgt": frame}
    assert all(item.type.tensor_type.elem_type == TensorProto.FLOAT for item in (*graph.input, *graph.output))


def test_only_the_sides_are_free_in_a_dynamic_graph(artifact: Factory) -> None:
    graph = onnx.load(artifact("onnx", dynamic=True) / "model.onnx").graph
    for item in graph.input[:2]:
        batch, channels, height, width = item.type.tensor_type.shape.dim
        assert (batch.dim_value, channels.dim_value) == (1, 3)
        assert height.dim_param
        assert width.dim_param
        assert height.dim_param != width.dim_param
    assert [dim.dim_value for dim in graph.input[2].type.tensor_type.shape.dim] == [1, 1, 1, 1]


RANGES = {
    "above": ("640x360", "1280x720", "1920x1080"),
    "below": ("32x32", "64x64", "128x128"),
    "narrow": ("640x352", "640x352", "641x353"),
    "one width": ("160x96", "160x96", "160x320"),
}
"""Ranges without the size that is traced. Those of --help are among them."""


@pytest.mark.parametrize("name", RANGES)
def test_the_graph_of_free_sizes_does_not_depend_on_the_range(name: str, artifact: Factory) -> None:
    low, typical, high = map(Size.parse, RANGES[name])
    sizes = SizeRange(minimum=low, typical=typical, maximum=high)
    rewrites = ("split_resblock", "batch_pair", "row_mean")
    found = Source(random_model("ifrnet_s"), rewrites, Precision.FP32, sizes=sizes).onnx
    known = (artifact("onnx", dynamic=True) / "model.onnx").read_bytes()
    assert found.SerializeToString(deterministic=True) == known


def test_a_range_without_the_traced_size_is_exported_and_compared(tmp_path: Path) -> None:
    sizes = ["--dynamic", "--min-size", "33x21", "--opt-size", "64x64", "--max-size", "128x128"]
    given = ["--target", "onnx", "--model", "random:ifrnet_s", *sizes, "--out", str(tmp_path)]
    assert main(given) == 0
    (folder,) = tmp_path.iterdir()
    record = read_manifest(folder).parity_on("cpu")
    assert record.verdict is Verdict.PASSED
    assert {str(result.size) for result in record.results} == {"64x42", "64x64"}


def test_nothing_of_this_machine_or_moment_is_in_it(written: onnx.ModelProto) -> None:
    graph = written.graph
    assert not written.metadata_props
    assert not written.functions
    assert not written.doc_string
    for item in (*graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info, graph):
        assert not item.doc_string
        assert not item.metadata_props
    for weight in graph.initializer:
        weight.ClearField("raw_data")
    text = str(written)
    for private in (os.getcwd(), str(Path.home()), "/tmp", "site-packages", '.py"', ".py:"):
        assert private not in text, private


def test_weights_are_inside_the_file(artifact: Factory) -> None:
    path = artifact("onnx") / "model.onnx"
    assert 10e6 < path.stat().st_size < 13e6  # 2.8 million float32
    assert all(
        item.data_location != TensorProto.EXTERNAL
        for item in onnx.load(path, load_external_data=False).graph.initializer
    )


def test_the_same_twice(artifact: Factory) -> None:
    """In one process here, in two with different hash seeds in test_reproducible."""
    rewrites = ("split_resblock", "batch_pair", "row_mean")
    again = Source(random_model("ifrnet_s"), rewrites, Precision.FP32, sizes=SizeRange.static(Size(160, 96))).onnx
    assert again.SerializeToString(deterministic=True) == (artifact("onnx") / "model.onnx").read_bytes()


def test_one_tensor_for_both_frames_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter merges inputs that are one object, and the graph then ignores img1 in silence."""
    frame = torch.from_numpy(moving_pair(Size(96, 64))[0])
    monkeypatch.setattr(torch, "from_numpy", lambda array: frame)
    rewrites = ("split_resblock", "batch_pair", "row_mean")
    source = Source(random_model("ifrnet_s"), rewrites, Precision.FP32, sizes=SizeRange.static(Size(96, 64)))
    with pytest.raises(SentinelError, match="sentinel inputs-used: the graph ignores img"):
        _ = source.onnx


def test_a_simplifier_that_changes_the_graph_is_refused(artifact: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxsim

    monkeypatch.setattr(onnxsim, "simplify", lambda model: (model, False))
    with pytest.raises(ExportError, match="onnxsim changed what the graph computes"):
        simplify(onnx.load(artifact("onnx") / "model.onnx"))


def test_an_invalid_graph_is_not_written(artifact: Factory, tmp_path: Path) -> None:
    model = onnx.load(artifact("onnx") / "model.onnx")
    model.graph.node[3].op_type = "NoSuchOperator"
    with pytest.raises(ExportError, match="not valid ONNX"):
        save(model, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
