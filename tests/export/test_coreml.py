"""Target coreml: what is read back, that a wrong file fails, and what is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export import coreml_layers, to_coreml
from export.__main__ import main as export_main
from export.coreml_layers import SENTINELS, File, check_file
from export.coremltools_quiet import quiet
from export.declarations import FP32_TOLERANCE
from export.errors import ExportError, SentinelError
from export.mil_program import Operation, Program, read_blob, read_program
from export.mil_runtime import OPERATIONS, Arguments, MilRuntime, run_operation, run_program
from export.options import ExportOptions
from export.pipeline import Pipeline
from export.source import Source
from export.verify import Reference, verify
from ifrnet import load_model
from runtimes.artifact import MANIFEST, SAVED_FILE, DeviceParity, describe_files, open_artifact, read_manifest
from runtimes.backends import coreml
from runtimes.cli import run
from runtimes.commands import info
from runtimes.contract import Precision, Size, SizeRange, Timesteps, Verdict
from runtimes.errors import ArtifactError, BackendError

if reason := to_coreml.missing():
    pytest.skip(reason, allow_module_level=True)

elsewhere = pytest.mark.skipif(not coreml.missing(), reason="Core ML itself gives the verdicts here")

MODEL, WEIGHTS = (f"model.mlpackage/Data/com.apple.CoreML/{name}" for name in ("model.mlmodel", "weights/weight.bin"))

HALF = Precision.FP16


def program_of(folder: Path) -> Program:
    return read_program((folder / MODEL).read_bytes(), (folder / WEIGHTS).read_bytes())


def file_of(folder: Path, precision: Precision) -> File:
    return File(program=program_of(folder), precision=precision, size=Size(160, 96))


# ---- what is built ---------------------------------------------------------------------------------------------------


@elsewhere
@pytest.mark.parametrize(("precision", "least", "megabytes"), [(Precision.FP32, 115.0, 12.0), (HALF, 66.0, 6.5)])
def test_a_file_is_checked_and_never_passed(
    precision: Precision, least: float, megabytes: float, artifact: Callable[..., Path], ran: Callable[[str], None]
) -> None:
    manifest = read_manifest(artifact("coreml", precision=precision))
    (record,) = manifest.parity
    assert (record.device, record.verdict, record.machine) == (SAVED_FILE, Verdict.CHECKED, None)
    assert "computed operation by operation, no device ran it (Core ML is a part of Apple's systems" in record.reason
    assert all(result.psnr >= least for result in record.results)
    assert {result.t for result in record.results} == {0.25, 0.5}
    assert sum(entry["bytes"] for entry in manifest.files.values()) <= megabytes * 1e6
    ran("coreml:file")


def test_the_files_are_those_that_xcode_wants(artifact: Callable[..., Path]) -> None:
    folder = artifact("coreml")
    names = [MODEL, WEIGHTS, "model.mlpackage/Manifest.json", "proof.dat"]
    assert list(read_manifest(folder).files) == names
    package = json.loads((folder / "model.mlpackage" / "Manifest.json").read_text())
    paths = {item["path"] for item in package["itemInfoEntries"].values()}
    assert paths == {"com.apple.CoreML/model.mlmodel", "com.apple.CoreML/weights"}
    assert package["rootModelIdentifier"] in package["itemInfoEntries"]


def test_coremltools_reads_the_package_and_what_it_says_of_itself(artifact: Callable[..., Path]) -> None:
    with quiet():
        import coremltools

        spec = coremltools.models.MLModel(str(artifact("coreml") / "model.mlpackage"), skip_model_load=True).get_spec()
    open_artifact(artifact("coreml"))  # coremltools writes the package's list of files when it opens it: the same
    about = spec.description.metadata
    assert (about.author, about.license, about.shortDescription) == (
        to_coreml.AUTHOR,
        to_coreml.LICENCE,
        to_coreml.ABOUT,
    )
    described = {item.name: item.shortDescription for item in (*spec.description.input, *spec.description.output)}
    assert described == {**to_coreml.INPUTS, "imgt": to_coreml.OUTPUT}
    assert not any("date" in key for key in about.userDefined)
    assert spec.specificationVersion == 7  # iOS 16


def test_what_was_read_back_is_in_the_manifest(artifact: Callable[..., Path]) -> None:
    details = {p: read_manifest(artifact("coreml", precision=p)).details for p in (Precision.FP32, HALF)}
    for precision, stored in ((Precision.FP32, "float32"), (HALF, "float16")):
        operations = details[precision]["operations"]
        assert (operations["conv"], operations["conv_transpose"]) == ({stored: 40}, {stored: 4})
        assert operations["resample"] == {"float32": 8}
        assert (details[precision]["ios"], details[precision]["opset"]) == (16, "CoreML6")
        assert details[precision]["warps"]["padding_mode"] == "border"
    assert "cast" not in details[Precision.FP32]["operations"]
    half = details[HALF]["operations"]
    assert half["prelu"] == {"float16": 40}
    for kind in ("reduce_mean", "sigmoid", "upsample_bilinear", "mul", "clip"):
        assert list(half[kind]) == ["float32"]
    assert sum(half["cast"].values()) < 30  # where the island begins and ends, not around each convolution


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    build(tmp_path, model="random:ifrnet_s")
    assert capfd.readouterr() == ("", "")


def build(out: Path, *, model: str, size: str = "160x96", **options: Any) -> Any:
    sizes = SizeRange.static(Size.parse(size))
    pipeline = Pipeline(
        ExportOptions(targets=("coreml",), model=model, sizes=sizes, out=out, **options), lambda _: None
    )
    (job,) = pipeline.jobs()
    return pipeline.build(job)


@pytest.fixture(scope="module")
def perturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in weights, moved by less than float16 tells apart: as stored, float16 holds them exactly."""
    from safetensors.torch import save_file

    torch.manual_seed(0)
    state = load_model("ifrnet_s").state_dict()
    state = {name: value * (1.0 + 2.0**-12 * torch.rand_like(value)) for name, value in state.items()}
    assert not all(torch.equal(value, value.half().float()) for value in state.values())
    path = tmp_path_factory.mktemp("perturbed") / "perturbed.safetensors"
    save_file(state, path)
    path.with_suffix(".json").write_text(json.dumps({"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}))
    return path


@elsewhere
def test_half_precision_of_weights_that_float16_does_not_hold(perturbed: Path, tmp_path: Path) -> None:
    outcome = build(tmp_path, model=str(perturbed), size="256x160", precisions=(HALF,))
    assert outcome.verdict is Verdict.CHECKED
    assert 66.0 <= outcome.worst["psnr"] < 100.0, outcome.worst


@pytest.mark.parametrize("ios", [15, 17, 18])
def test_other_systems(ios: int, tmp_path: Path) -> None:
    outcome = build(tmp_path, model="random:ifrnet_s", precisions=(HALF,), ios=ios)
    details = read_manifest(outcome.path).details
    assert (details["ios"], details["opset"]) == (ios, f"CoreML{ios - 10}")
    assert outcome.verdict in (Verdict.CHECKED, Verdict.PASSED)


# ---- a wrong file fails ----------------------------------------------------------------------------------------------


@pytest.fixture
def copied(artifact: Callable[..., Path], tmp_path: Path) -> Path:
    """An artifact of one's own."""
    path = tmp_path / "artifact"
    shutil.copytree(artifact("coreml"), path)
    return path


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(load_model("random:ifrnet_s"), Timesteps.ANY, 1.0)


def judged(folder: Path, reference: Reference) -> DeviceParity:
    """The verdict of the gate on files that were changed, with their new sha256."""
    manifest = replace(read_manifest(folder), files=describe_files(folder))
    (folder / MANIFEST).write_text(manifest.to_json())
    (record,) = verify(open_artifact(folder), reference, FP32_TOLERANCE)
    return record


def change_constant(folder: Path, kind: str, key: str, change: Callable[[Any], None], which: int = 0) -> None:
    """Change the constant that an operation of the saved file takes."""
    with quiet():
        from coremltools.proto import Model_pb2
    spec = Model_pb2.Model.FromString((folder / MODEL).read_bytes())
    (function,) = spec.mlProgram.functions.values()
    operations = function.block_specializations[function.opset].operations
    operation = [item for item in operations if item.type == kind][which]
    (binding,) = operation.inputs[key].arguments
    if binding.WhichOneof("binding") == "name":  # of this operation alone, whoever else reads the constant
        (source,) = [item for item in operations if item.outputs[0].name == binding.name]
        value = source.attributes["val"]
        binding.ClearField("name")
        binding.value.CopyFrom(value)
    change(binding.value.immediateValue.tensor)
    (folder / MODEL).write_bytes(spec.SerializeToString())


def text(value: str) -> Callable[[Any], None]:
    def change(tensor: Any) -> None:
        tensor.strings.values[0] = value

    return change


def no_corners(tensor: Any) -> None:
    tensor.bools.values[0] = False


def swap_axes(tensor: Any) -> None:
    tensor.ints.values[2], tensor.ints.values[1] = tensor.ints.values[1], tensor.ints.values[2]


@elsewhere
@pytest.mark.parametrize("which", [0, 7])
@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("sampling_mode", text("nearest")),
        ("padding_mode", text("constant")),
        ("align_corners", no_corners),
    ],
)
def test_a_wrong_warp_fails_the_gate_and_the_sentinel(
    key: str, change: Callable[[Any], None], which: int, copied: Path, reference: Reference
) -> None:
    change_constant(copied, "resample", key, change, which)
    record = judged(copied, reference)
    assert (record.device, record.verdict) == (SAVED_FILE, Verdict.FAILED)
    assert "max error" in record.reason
    with pytest.raises(SentinelError, match="sentinel coreml-warps: "):
        check_file(file_of(copied, Precision.FP32))


@elsewhere
def test_a_wrong_weight_fails_the_gate(copied: Path, reference: Reference) -> None:
    assert judged(copied, reference).verdict is Verdict.CHECKED
    weights = bytearray((copied / WEIGHTS).read_bytes())
    middle = len(weights) // 2 // 4 * 4
    values = np.frombuffer(bytes(weights[middle : middle + 4000]), np.float32)
    weights[middle : middle + 4000] = (values * np.float32(1.05)).tobytes()
    (copied / WEIGHTS).write_bytes(weights)
    assert judged(copied, reference).verdict is Verdict.FAILED


@elsewhere
def test_a_file_that_cannot_be_computed_failed(copied: Path, reference: Reference) -> None:
    change_constant(copied, "conv", "pad_type", text("same"), 3)
    record = judged(copied, reference)
    assert record.verdict is Verdict.FAILED
    assert "pad_type is same, which is not known here" in record.reason


@elsewhere
def test_values_that_are_not_finite_fail(copied: Path, reference: Reference) -> None:
    weights = bytearray((copied / WEIGHTS).read_bytes())
    middle = len(weights) // 2 // 4 * 4
    weights[middle : middle + 4] = np.float32(np.inf).tobytes()
    (copied / WEIGHTS).write_bytes(weights)
    record = judged(copied, reference)
    assert record.verdict is Verdict.FAILED
    assert "not finite" in record.reason


def test_a_package_with_a_file_missing_is_refused(copied: Path) -> None:
    (copied / WEIGHTS).unlink()
    with pytest.raises(ArtifactError, match=r"weights/weight\.bin is missing: export the artifact again"):
        open_artifact(copied)
    shutil.rmtree(copied / "model.mlpackage")
    with pytest.raises(ArtifactError, match=r"model\.mlmodel is missing"):
        open_artifact(copied)


def test_a_manifest_of_another_size_is_refused(artifact: Callable[..., Path]) -> None:
    whole = open_artifact(artifact("coreml"))
    other = replace(whole.manifest, sizes=SizeRange.static(Size(320, 96)))
    with pytest.raises(ArtifactError, match="the manifest says frames of 320x96, the model takes 1x3x96x160"):
        MilRuntime(replace(whole, manifest=other))


# ---- sentinels -------------------------------------------------------------------------------------------------------


def changed(program: Program, which: str, **changes: Any) -> Program:
    """A program whose first operation of a kind is another; ``inputs`` are merged."""
    operations = list(program.operations)
    index = next(i for i, operation in enumerate(operations) if operation.kind == which)
    inputs = {**operations[index].inputs, **changes.pop("inputs", {})}
    operations[index] = replace(operations[index], inputs=inputs, **changes)
    return replace(program, operations=tuple(operations))


@pytest.mark.parametrize(
    ("sentinel", "change"),
    [
        ("coreml-warps", lambda p: changed(p, "resample", inputs={"sampling_mode": ("nearest",)})),
        ("coreml-warps", lambda p: changed(p, "resample", inputs={"align_corners": (np.bool_(False),)})),
        ("coreml-warps", lambda p: changed(p, "resample", type="FLOAT16")),
        ("coreml-warps", lambda p: changed(p, "resample", kind="crop_resize")),
        ("coreml-float32-flow", lambda p: changed(p, "upsample_bilinear", type="FLOAT16")),
        ("coreml-float32-flow", lambda p: changed(p, "transpose", type="FLOAT16")),
        ("coreml-float32-flow", lambda p: changed(p, "reduce_mean", type="FLOAT16")),
        ("coreml-float32-flow", lambda p: changed(p, "sigmoid", type="FLOAT16")),
        ("coreml-convolutions", lambda p: changed(p, "conv", type="FLOAT32")),
        ("coreml-convolutions", lambda p: changed(p, "conv_transpose", inputs={"weight": (np.zeros(3, "f"),)})),
        ("coreml-stepped-sums", lambda p: changed(p, "reduce_mean", inputs={"axes": (np.array([2, 3]),)})),
        ("coreml-contract", lambda p: replace(p, outputs=("imgt", "flow"))),
        ("coreml-contract", lambda p: replace(p, inputs={**p.inputs, "t": ("FLOAT16", (1, 1, 1, 1))})),
        ("coreml-contract", lambda p: replace(p, inputs={**p.inputs, "img0": ("FLOAT32", (1, 3, 160, 96))})),
    ],
)
def test_every_sentinel_fires(
    sentinel: str, change: Callable[[Program], Program], artifact: Callable[..., Path]
) -> None:
    file = file_of(artifact("coreml", precision=HALF), HALF)
    check_file(file)
    with pytest.raises(SentinelError, match=f"sentinel {sentinel}: "):
        check_file(replace(file, program=change(file.program)))
    assert sentinel in SENTINELS


def test_the_default_of_coremltools_would_put_flow_into_half_precision(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(coreml_layers, "may_be_half", lambda operation: True)
    with pytest.raises(SentinelError, match="sentinel coreml-"):
        build(tmp_path, model="random:ifrnet_s", precisions=(HALF,))


# ---- computing -------------------------------------------------------------------------------------------------------


def operation(kind: str, shape: tuple[int, ...], type: str = "FLOAT32", **inputs: Any) -> Operation:
    given = {key: value if isinstance(value, tuple) else (value,) for key, value in inputs.items()}
    return Operation(kind=kind, name="y", type=type, shape=shape, inputs=given)


def test_results_are_rounded_to_their_type() -> None:
    x = np.array([1.0 + 2.0**-12, 70000.0, -1e-9], np.float32)
    cast = operation("cast", (3,), "FLOAT16", x=x, dtype="fp16")
    assert run_operation(cast, {}).tolist() == [1.0, float("inf"), -0.0]
    exact = run_operation(replace(cast, type="FLOAT32", inputs={"x": (x,), "dtype": ("fp32",)}), {})
    np.testing.assert_array_equal(exact.numpy(), x)


def test_a_slice_counts_from_the_end_and_by_masks() -> None:
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    begin, end = np.array([0, -2, 1]), np.array([0, -1, 0])
    masks: dict[str, Any] = {"begin_mask": np.array([True, False, False]), "end_mask": np.array([True, False, True])}
    found = run_operation(operation("slice_by_index", (2, 1, 3), x=x, begin=begin, end=end, **masks), {})
    np.testing.assert_array_equal(found.numpy(), x[:, -2:-1, 1:])


def test_padding_repeats_the_border() -> None:
    x = np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3)
    pad = operation("pad", (1, 1, 3, 5), x=x, pad=np.array([0, 0, 0, 0, 0, 1, 0, 2]), mode="replicate")
    np.testing.assert_array_equal(run_operation(pad, {})[0, 0], np.pad(x[0, 0], ((0, 1), (0, 2)), mode="edge"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (operation("fft", (1,)), "y is a fft, which is not known here"),
        (operation("relu", (2,), x=np.zeros(3, "f")), r"y \(relu\) gives \(3,\), not \(2,\)"),
        (operation("relu", (3,), "INT32", x=np.zeros(3, "f")), "gives INT32, which is not known here"),
        (operation("cast", (3,), x=np.zeros(3, "f"), dtype="int32"), "dtype is int32, which is not known here"),
        (operation("pad", (3,), x=np.zeros(3, "f"), pad=np.zeros(4), mode="reflect"), "mode is reflect"),
        (operation("pad", (3,), x=np.zeros(3, "f"), pad=np.ones(6), mode="replicate"), "pad is "),
        (operation("tile", (3,), x=np.zeros(3, "f")), "reps is nothing, not a constant"),
    ],
)
def test_what_is_not_known_is_refused(wrong: Operation, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        run_operation(wrong, {})


def test_an_operation_reads_what_was_computed(artifact: Callable[..., Path]) -> None:
    program = program_of(artifact("coreml"))
    with pytest.raises(BackendError, match="it reads img0, which nothing gives"):
        run_program(program, {})
    assert {operation.kind for operation in program.operations} <= set(OPERATIONS)
    assert Arguments(program.operations[0], {}).shape == program.operations[0].shape


def test_damaged_files_are_one_line(artifact: Callable[..., Path]) -> None:
    model, weights = ((artifact("coreml") / name).read_bytes() for name in (MODEL, WEIGHTS))
    for damaged in (b"", b"garbage", model[: len(model) // 2]):
        with pytest.raises(BackendError, match=r"model\.mlmodel is no ML program of one function"):
            read_program(damaged, weights)
    for damaged in (b"", weights[:4] + b"\7" + weights[5:], weights[: len(weights) // 2]):
        with pytest.raises(BackendError, match=r"weight\.bin"):
            read_program(model, damaged)
    for offset in (-1, 1, len(weights), 2**62):
        with pytest.raises(BackendError, match=r"weight\.bin has no entry at byte"):
            read_blob(weights, offset, "FLOAT32")
    with pytest.raises(BackendError, match="is not of type FLOAT16"):
        read_blob(weights, 64, "FLOAT16")


# ---- what is refused, and what is shown ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ios", "14"), "--ios 14 is too old: warps are the operation resample, which begins with iOS 15"),
        (("--ios", "99"), "--ios 99 is not known to coremltools 9.0: it has 15, 16, 17, 18"),
        (("--dynamic",), "target coreml has no --dynamic"),
        (("--int8",), "target coreml has no int8 (its 8-bit activations"),
        (("--bf16",), "target coreml has no bf16 (Core ML has no bfloat16)"),
    ],
)
def test_bad_input_is_one_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = () if "--dynamic" in arguments else ("--size", "160x96")
    given = ["--target", "coreml", *size, "--out", str(tmp_path), *arguments]
    assert run("python -m export", export_main, given) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_converter_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with quiet():
        import coremltools

    def convert(*_: object, **__: object) -> None:
        raise NotImplementedError("a page\nof text")

    monkeypatch.setattr(coremltools, "convert", convert)
    sizes = SizeRange.static(Size(160, 96))
    source = Source(load_model("random:ifrnet_s"), to_coreml.rewrites(HALF), Precision.FP32, sizes=sizes)
    with pytest.raises(ExportError) as caught:
        to_coreml.convert(source, Precision.FP32, 16)
    assert str(caught.value) == r"coremltools cannot convert the network (NotImplementedError: a page\nof text)"


@elsewhere
def test_it_is_shown_as_what_it_is(artifact: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert info.main([str(artifact("coreml"))]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("parity")]
    assert line.split(maxsplit=1)[1].startswith("file (fp32): file checked: the saved file was read back")


@elsewhere
def test_the_export_shows_it_and_succeeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--target", "coreml", "--model", "random:ifrnet_s", "--size", "160x96", "--out", str(tmp_path)]
    assert export_main(given) == 0
    printed = capsys.readouterr().out
    assert " file checked " in printed
    assert "passed" not in printed
