"""Target litert: what is read back, what int8 holds, and what is said when its environment or its converter fails."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export import environments, litert_converter, to_litert
from export.__main__ import main
from export.declarations import first_missing
from export.errors import ExportError, SentinelError
from export.litert_file import CONVOLUTIONS, File, Operator, put_in_order
from export.litert_layers import SENTINELS, Wanted, check_file, find_warps, layer_of
from runtimes.artifact import read_manifest
from runtimes.cli import run as run_command
from runtimes.contract import Precision, Size

if reason := first_missing(to_litert.REQUIRES):
    pytest.skip(reason, allow_module_level=True)

SIZE = Size(160, 96)

FP32 = Wanted(precision=Precision.FP32, size=SIZE, scales={})

Change = Callable[[File], None]


@pytest.fixture(scope="module")
def data(artifact: Callable[..., Path]) -> bytes:
    return (artifact("litert") / "model.tflite").read_bytes()


@pytest.fixture(scope="module")
def int8(artifact: Callable[..., Path]) -> Path:
    return artifact("litert", model="ifrnet_s", precision=Precision.INT8)


def first(file: File, kind: str) -> Operator:
    return file.of_kind(kind)[0]


def set_constant(file: File, tensor: int, values: object) -> None:
    """Give a constant other values; in a buffer of its own, since constants share them."""
    old = file.constant(tensor)
    assert old is not None
    raw = np.asarray(values, old.dtype).reshape(-1).view(np.uint8)
    assert raw.size == old.nbytes
    buffer = type(file.model.buffers[0])()
    buffer.data = raw
    file.model.buffers.append(buffer)
    file.graph.tensors[tensor].buffer = len(file.model.buffers) - 1


def grid_of(file: File) -> tuple[Operator, int]:
    """The first addition of pixels' positions to flow, and the constant that it adds."""
    for operator in file.of_kind("ADD"):
        for number in operator.inputs:
            value = file.constant(number)
            if value is not None and value.ndim == 3 and value.shape[0] == 1 and value.size > 1:
                return operator, number
    raise AssertionError("nothing is added to flow")


def uneven_pixels(file: File) -> None:
    _, number = grid_of(file)
    value = file.constant(number)
    assert value is not None
    set_constant(file, number, value * np.float32(value.size / (value.size - 1)))  # as align_corners=False would


def no_lower_clamp(file: File) -> None:
    grid_of(file)[0].options.fusedActivationFunction = 0


def wider_border(file: File) -> None:
    number = next(i for i in first(file, "MINIMUM").inputs if file.constant(i) is not None)
    set_constant(file, number, [1e6])


def other_neighbour(file: File) -> None:
    lookup = file.of_kind("EMBEDDING_LOOKUP")[1]
    set_constant(file, file.producers[lookup.inputs[0]].inputs[1], 2)


def nearest(file: File) -> None:
    """Every look-up of a warp at one and the same pixel."""
    lookups = file.of_kind("EMBEDDING_LOOKUP")
    for lookup in lookups[1:4]:
        lookup.raw.inputs = lookups[0].raw.inputs


def lost_warp(file: File) -> None:
    gone = {id(lookup.raw) for lookup in file.of_kind("EMBEDDING_LOOKUP")[:4]}
    file.graph.operators = [item for item in file.graph.operators if id(item) not in gone]


def gather(file: File) -> None:
    schema = type(file.model.operatorCodes[0])
    code = schema()
    code.builtinCode = code.deprecatedBuiltinCode = 107  # GATHER_ND
    file.model.operatorCodes.append(code)
    first(file, "EMBEDDING_LOOKUP").raw.opcodeIndex = len(file.model.operatorCodes) - 1


HALF, INT8 = 1, 9
"""``TensorType`` in the format."""


def half_positions(file: File) -> None:
    file.graph.tensors[first(file, "FLOOR").outputs[0]].type = HALF


def half_flow(file: File) -> None:
    file.graph.tensors[first(file, "RESIZE_BILINEAR").outputs[0]].type = HALF


def half_kernel(file: File) -> None:
    file.graph.tensors[first(file, "TRANSPOSE_CONV").kernel].type = HALF


def int8_kernel(file: File) -> None:
    file.graph.tensors[first(file, "CONV_2D").kernel].type = INT8


def long_sum(file: File) -> None:
    number = first(file, "MEAN").inputs[1]
    file.graph.tensors[number].shape = np.array([2], np.int32)
    buffer = file.model.buffers[file.graph.tensors[number].buffer]
    buffer.data = np.array([2, 3], np.int32).view(np.uint8)


def other_size(file: File) -> None:
    file.graph.tensors[file.signature[0]["img1"]].shape = np.array([1, 3, 160, 96], np.int32)


def other_name(file: File) -> None:
    file.model.signatureDefs[0].inputs[0].name = b"args_0"


def ignored_frame(file: File) -> None:
    inputs = file.signature[0]
    for operator in file.graph.operators:
        operator.inputs = np.array([inputs["img0"] if i == inputs["img1"] else i for i in operator.inputs], np.int32)


CHANGES: dict[str, tuple[Change, ...]] = {
    "litert-warps": (
        uneven_pixels,
        no_lower_clamp,
        wider_border,
        other_neighbour,
        nearest,
        lost_warp,
        gather,
        half_positions,
    ),
    "litert-weights": (half_kernel, int8_kernel),
    "litert-float32-flow": (half_flow,),
    "litert-stepped-sums": (long_sum,),
    "litert-contract": (other_size, other_name, ignored_frame),
}
"""Sentinel -> what it has to see. What INT8 has is below."""


def test_a_right_file_passes_and_is_described(data: bytes) -> None:
    details = check_file(File(data), FP32)
    assert details["convolutions"] == {"float32": 36}
    assert (details["operators"]["PRELU"], details["operators"]["EMBEDDING_LOOKUP"]) == (32, 16)
    takes, leaves = details["gpu_delegate"]["takes"], details["gpu_delegate"]["does not list"]
    assert {"CONV_2D", "TRANSPOSE_CONV", "PRELU", "RESIZE_BILINEAR"} <= set(takes)
    assert {"EMBEDDING_LOOKUP", "FLOOR", "CAST"} <= set(leaves)
    assert {**takes, **leaves} == details["operators"]
    assert [warp.rows for warp in find_warps(File(data))] == [2 * 160 * 96 // 4**k for k in (3, 2, 1, 0)]


@pytest.mark.parametrize(
    ("sentinel", "change"), [(name, change) for name, changes in CHANGES.items() for change in changes]
)
def test_every_sentinel_fires(sentinel: str, change: Change, data: bytes) -> None:
    file = File(data)
    change(file)
    changed = File(file.data())
    assert SENTINELS[sentinel](changed, FP32)
    with pytest.raises(SentinelError):
        check_file(changed, FP32)


def test_every_sentinel_is_tried() -> None:
    assert {*CHANGES, "litert-int8-scales"} == set(SENTINELS)


def test_what_int8_holds(int8: Path) -> None:
    from export.int8.scales import scales_for
    from ifrnet import load_model

    manifest = read_manifest(int8)
    info = load_model("ifrnet_s").info
    assert info is not None
    scales = scales_for(info, None).scales
    names = sorted(scales)
    assert manifest.details["int8_layers"] == names
    assert manifest.details["int8_share"] > 0.85
    floats = 8 + 3 + 4 + 7  # encoder, flow into a decoder (t into the last is depthwise), flow out of each, decoder 4
    assert manifest.details["convolutions"] == {"float16": floats, "int8": len(names)}
    assert manifest.details["quality"]["cpu"]["drop"] <= 0.1
    assert manifest.details["calibration"]["pairs"] > 0
    assert (int8 / "model.tflite").stat().st_size <= 5.5e6
    wanted = Wanted(precision=Precision.INT8, size=SIZE, scales=scales)
    check_file(File((int8 / "model.tflite").read_bytes()), wanted)


@pytest.mark.parametrize("change", ["scale", "zero point", "layer", "float flow"])
def test_int8_at_other_scales_or_of_other_layers_is_seen(change: str, int8: Path) -> None:
    file = File((int8 / "model.tflite").read_bytes())
    names = read_manifest(int8).details["int8_layers"]
    convolutions = {layer_of(file, operator): operator for operator in file.of_kind(*CONVOLUTIONS)}
    found = {name: file.scales(convolutions[name].image) for name in names}
    scales = {name: float(value[0][0]) for name, value in found.items() if value is not None}
    wanted = Wanted(precision=Precision.INT8, size=SIZE, scales=scales)
    sentinel = SENTINELS["litert-int8-scales"]
    assert sentinel(file, wanted) == ""
    if change == "scale":
        scales[names[3]] *= 1.001
    elif change == "zero point":
        file.graph.tensors[convolutions[names[3]].image].quantization.zeroPoint = np.array([1])
    elif change == "layer":
        scales["decoder1.flow.conv"] = 0.1
    else:
        del scales[names[3]]
    assert sentinel(file, wanted)


def test_what_is_no_file_of_the_converter_is_refused(data: bytes) -> None:
    for wrong in (b"", b"garbage", data[:1000]):
        with pytest.raises(ExportError, match=r"wrote no \.tflite file"):
            put_in_order(wrong, {})
    with pytest.raises(ExportError, match="no PReLU was found"):
        put_in_order(data, {})  # it is in order


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a script in the place of the converter, run by this Python."""
    monkeypatch.setenv("IFRNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(environments, "python", lambda name: Path(sys.executable))

    def write(text: str) -> None:
        (tmp_path / "script.py").write_text(text)
        monkeypatch.setattr(litert_converter, "__file__", str(tmp_path / "script.py"))

    return write


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "print('page\\n' * 50 + 'RuntimeError: op Foo is unknown\\nbye'); raise SystemExit(1)",
            "code 1: RuntimeError: op Foo is unknown; the whole log is ",
        ),
        ("import os; os.abort()", "signal 6"),
        ("pass", "ended well and wrote no plain.tflite"),
    ],
)
def test_a_converter_that_dies_is_one_line(
    script: str, message: str, scripted: Callable[[str], None], tmp_path: Path
) -> None:
    scripted(script)
    with pytest.raises(ExportError) as caught:
        to_litert.run("convert", tmp_path / "program.pt2", tmp_path / "plain.tflite")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    kept = list((tmp_path / "cache" / "environments").glob("litert-convert-*.log"))
    assert len(kept) == (script != "pass")


def test_a_missing_environment_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IFRNET_CACHE", str(tmp_path / "cache"))
    assert run_command("x", main, ["--target", "litert", "--out", str(tmp_path / "out")]) == 1
    expected = "x: target litert: its environment is not there: python -m export setup litert\n"
    assert capsys.readouterr().err == expected
    assert not (tmp_path / "out").exists()


def test_there_are_no_free_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environments, "missing", lambda name: "")
    assert run_command("x", main, ["--target", "litert", "--dynamic", "--out", str(tmp_path)]) == 1
    assert "x: target litert has no --dynamic: " in capsys.readouterr().err
