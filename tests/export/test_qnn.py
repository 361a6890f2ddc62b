"""Target qnn: what is refused, what the compiler is given, what is read back, and what the emulation computes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from export import qnn_compiler, to_qnn
from export.__main__ import main
from export.errors import ExportError, SentinelError
from export.int8.gate import Quality
from export.int8.simulation import Simulation
from export.int8.stages import Int8
from export.options import ExportOptions
from export.parity_frames import moving_pair
from export.qnn_file import SENTINELS, Built, Context, check_file
from export.qnn_plan import Form, Graph, Numbers, layer, plan
from export.qnn_quantize import quantize
from export.qnn_ranges import Ranges, Seen, Steps, observe
from export.qnn_socs import DEFAULT_SOC, SOCS, soc
from export.source import Source
from ifrnet import load_model
from runtimes import load
from runtimes.artifact import EMULATOR, Artifact, DeviceParity, Manifest, open_artifact, read_manifest
from runtimes.backends import qnn
from runtimes.base import Runtime
from runtimes.cli import run
from runtimes.compare import psnr
from runtimes.contract import INPUT_NAMES, OUTPUT_NAME, Precision, Size, SizeRange, Timesteps, Verdict
from runtimes.errors import ArtifactError, ParityNotRunWarning

needs_package = pytest.mark.skipif(bool(qnn.missing()), reason=qnn.missing() or "it is installed")

SIZE = Size(160, 96)

CHIP = SOCS[DEFAULT_SOC]

MODEL = "random:ifrnet_s"
"""Weights that half precision does not hold exactly, as it does the built-in ones, with flows of more than 8 px."""


# ---- what is refused ---------------------------------------------------------------------------------------------


def refused(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> str:
    """The one line that an export ends with."""
    given = ["--target", "qnn", "--model", "random:ifrnet_s", "--out", str(folder / "out"), *arguments]
    assert run("python -m export", main, given) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert not (folder / "out").exists()
    return error


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the package were installed: what is refused is refused before it is used."""
    monkeypatch.setattr(to_qnn, "missing", lambda: "")


@pytest.mark.usefixtures("pretended")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--int8", "--soc", "snapdragon-9000"),
            "--soc snapdragon-9000: no such chip; there are snapdragon-888 (SM8350)",
        ),
        (("--fp16", "--soc", "snapdragon-888"), "(SM8350, Hexagon V68) has no half precision, which begins with V69"),
        (("--int8", "--dynamic"), "target qnn has no --dynamic: the compiler lays out memory of the NPU for one size"),
        ((), "target qnn has no fp32 (its NPU has no float32"),
        (("--bf16",), "target qnn has no bf16"),
    ],
)
def test_one_line_says_why(
    arguments: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, tmp_path, *arguments)


def test_an_unknown_chip_lists_all() -> None:
    with pytest.raises(ExportError) as caught:
        soc("kirin-9000")
    assert all(f"{name} ({chip.part})" in str(caught.value) for name, chip in SOCS.items())
    assert len({chip.model for chip in SOCS.values()}) == len(SOCS)
    assert ExportOptions(targets=("qnn",)).soc in SOCS


def test_an_old_glibc_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: name)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.31"))
    assert qnn.missing().startswith("onnxruntime-qnn needs glibc 2.35, this system has 2.31: ")
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))
    assert qnn.missing() == ""


# ---- the compiler ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "line"),
    [
        ("a page\nof notes\n[E] Error: no such op\nbye\n", "[E] Error: no such op"),
        ("a page\nof notes\n", "of notes"),
        ("", "it printed nothing"),
        (
            "X FAIL : fallback to CPU EP has been explicitly disabled by the user.",
            "the NPU does not take the whole network",
        ),
    ],
)
def test_the_useful_line(printed: str, line: str) -> None:
    assert to_qnn.useful_line(printed).startswith(line)


@pytest.mark.parametrize(
    ("script", "ended"),
    [
        ("print('page ' * 999); raise SystemExit('error: out of VTCM')", "code 1: error: out of VTCM"),
        ("import os; print('half done', flush=True); os.abort()", "signal 6: half done"),
        ("print('all is well')", "code 0: all is well"),  # and wrote nothing
    ],
)
def test_a_compiler_that_dies_is_one_line_and_a_log(
    script: str, ended: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dies.py").write_text(script)
    monkeypatch.setattr(qnn_compiler, "__file__", str(tmp_path / "dies.py"))
    log = tmp_path / "compiler.log"
    with pytest.raises(ExportError) as caught:
        to_qnn.run_compiler(tmp_path / "model.onnx", tmp_path / "out.onnx", CHIP, log=log)
    assert str(caught.value) == f"Qualcomm's compiler ended with {ended} (all that it printed: {log})"
    assert log.read_text().strip()


@needs_package
def test_what_the_npu_does_not_take_is_refused(tmp_path: Path) -> None:
    """No operation falls back to the processor: an eye-like matrix is none of the NPU's."""
    shape = {"img0": [4, 4], "imgt": [4, 4]}
    given, result = (helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in shape.items())
    nodes = [helper.make_node("EyeLike", ["img0"], ["eye"]), helper.make_node("Det", ["eye"], ["det"])]
    nodes.append(helper.make_node("Add", ["det", "img0"], ["imgt"]))
    graph = helper.make_graph(nodes, "g", [given], [result])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "m.onnx")
    with pytest.raises(
        ExportError, match="the NPU does not take the whole network, and nothing may run on the processor"
    ):
        to_qnn.run_compiler(tmp_path / "m.onnx", tmp_path / "out.onnx", CHIP, log=tmp_path / "log")


def test_the_compiler_imports_nothing_of_this_project() -> None:
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code, qnn_compiler.__file__], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not {"export", "runtimes", "onnxruntime"} & {name.partition(".")[0] for name in done.stdout.split()}


# ---- the graph that it is given ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source() -> Source:
    sizes = SizeRange.static(SIZE)
    return Source(load_model("random:ifrnet_s"), to_qnn.rewrites(Precision.INT8), Precision.FP32, sizes=sizes)


@pytest.fixture(scope="module")
def graph(source: Source) -> Graph:
    return Graph(model=source.onnx)


def feed(seed: int = 0) -> dict[str, np.ndarray]:
    img0, img1 = moving_pair(SIZE, seed=seed)
    return dict(zip(INPUT_NAMES, (img0, img1, np.full((1, 1, 1, 1), 0.5, np.float32)), strict=True))


@pytest.fixture(scope="module")
def seen(graph: Graph) -> dict[str, Seen]:
    pytest.importorskip("onnxruntime")
    return observe(graph.model, [feed(1), feed(2)])


def quantized(graph: Graph, seen: dict[str, Seen], form: Form) -> onnx.ModelProto:
    return quantize(graph, plan(graph, form), Ranges(graph, seen, width=SIZE.width, form=form))


def manifest_of(precision: Precision) -> Manifest:
    """Of nothing."""
    return Manifest(
        name="x", target="qnn", backend="qnn", variant="ifrnet_s", checkpoint={}, timesteps=Timesteps.ANY, scale=1.0,
        precision=precision, sizes=SizeRange.static(SIZE), rewrites=(), tools={}, details={}, files={},
    )  # fmt: skip


def test_flow_and_positions_are_found(graph: Graph) -> None:
    """Four heads, three sums of flow; positions of eight warps, as sums and in the order that samplers take."""
    kinds = [graph.producers[name].op_type for name in graph.flow]
    assert (kinds.count("ConvTranspose"), kinds.count("Resize"), kinds.count("Add")) == (4, 3, 3)
    assert len(graph.positions) == 16
    assert not graph.flow & graph.positions


@pytest.mark.parametrize("form", [Form.ISLAND, Form.W8A16, Form.MIXED])
def test_flow_positions_warps_and_blending_have_16_bits(form: Form, graph: Graph) -> None:
    chosen = plan(graph, form)
    heads = {name for name in graph.flow if graph.producers[name].op_type == "ConvTranspose"}
    for name in (graph.flow | graph.positions) - (heads if form is Form.ISLAND else set()):
        assert chosen[name] is Numbers.INT16, name
    kinds = {name: node.op_type for name, node in graph.producers.items()}
    assert {chosen[name] for name, kind in kinds.items() if kind in ("GridSample", "Sigmoid", "ReduceMean")} == {16}
    assert chosen[OUTPUT_NAME] is Numbers.INT16


def test_features_alone_have_8_bits(graph: Graph) -> None:
    chosen = plan(graph, Form.MIXED)
    layers = {layer(node): chosen[node.output[0]] for node in graph.producers.values() if layer(node)}
    assert layers["encoder.pyramid3.0.0"] == layers["decoder2.block.conv3.0"] == layers["decoder3.features"] == 8
    assert layers["encoder.pyramid1.0.0"] == layers["decoder1.block.conv3.0"] == layers["decoder2.side"] == 16
    assert layers["decoder2.flow"] == layers["decoder2.rest"] == layers["decoder1.rest"] == 16
    assert set(plan(graph, Form.HALF).values()) == {Numbers.HALF}
    assert set(plan(graph, Form.W8A8).values()) == {Numbers.INT8}


@pytest.mark.parametrize(
    ("form", "least", "most"),
    [
        (Form.HALF, 110.0, float("inf")),  # nothing is rounded in float32
        (Form.ISLAND, 60.0, 100.0),
        (Form.W8A16, 45.0, 70.0),
        (Form.MIXED, 38.0, 55.0),
        (Form.W8A8, 5.0, 34.0),  # the collapse that ANVIL reports
    ],
)
def test_what_each_form_computes(form: Form, least: float, most: float, graph: Graph, seen: dict[str, Seen]) -> None:
    manifest = manifest_of(Precision.INT8)
    with Simulation(manifest, quantized(graph, seen, form).SerializeToString()) as runtime:
        given = feed()
        found = runtime.infer(*(given[name] for name in INPUT_NAMES))
    with Simulation(manifest, graph.model.SerializeToString()) as runtime:
        expected = runtime.infer(*(given[name] for name in INPUT_NAMES))
    assert least <= psnr(found, expected) <= most


def test_ranges_are_known_where_they_follow(graph: Graph, seen: dict[str, Seen]) -> None:
    """Other footage moves further than that which was seen; positions beyond the frame are those of its border."""
    ranges = Ranges(graph, seen, width=SIZE.width, form=Form.W8A16)
    for name in graph.flow:
        steps = ranges.steps(name, Numbers.INT16)
        assert steps.scale * steps.zero >= 127.9
    for name in graph.positions:
        assert ranges.steps(name, Numbers.INT16) == Steps.of(-1.0, 1.0, Numbers.INT16)
    for name in (*INPUT_NAMES, OUTPUT_NAME):
        assert ranges.steps(name, Numbers.INT16) == Steps.of(0.0, 1.0, Numbers.INT16)
    wide = Ranges(graph, seen, width=3840, form=Form.W8A16)
    assert wide.flow_limit(3840) == 768.0
    prelu = next(node for node in graph.producers.values() if node.op_type == "PRelu")
    found = ranges.steps(prelu.output[0], Numbers.INT16)
    high = seen[prelu.output[0]].high
    assert (65535 - found.zero) * found.scale == pytest.approx(2.0 * high, rel=1e-3)


@pytest.mark.parametrize(("drop", "verdict"), [(0.2, Verdict.FAILED), (0.05, Verdict.EMULATED)])
def test_the_quality_gate_judges_the_simulation(
    drop: float, verdict: Verdict, graph: Graph, seen: dict[str, Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for all devices, since a frame takes minutes in the emulation."""
    stages = Int8(load_model("random:ifrnet_s"), ExportOptions(targets=("qnn",)))
    quality = Quality(
        samples=6, drop=drop, worst_drop=drop, drop_high=None, samples_high=0, int8_vs_fp32=50.0, max_drop=0.1
    )
    judged = []

    def judge(runtime: Runtime) -> Quality:
        judged.append(runtime.spec)
        return quality

    monkeypatch.setattr(stages, "_gate", SimpleNamespace(judge=judge))
    artifact = Artifact(Path(), manifest_of(Precision.INT8), {})
    record = DeviceParity(device=EMULATOR, verdict=Verdict.EMULATED, reason="emulated")
    model = quantized(graph, seen, Form.MIXED).SerializeToString()
    (found,), details = stages.judge(artifact, [record], model)
    assert [spec.device for spec in judged] == ["simulation"]
    assert found.verdict is verdict
    assert found.reason.startswith(f"emulated; INT8 loses {drop:.3f} dB (limit 0.1)")
    assert found.reason.endswith("(simulated: the graph that was compiled, computed by ONNX Runtime on the CPU)")
    assert details["simulation"]["drop"] == drop


# ---- what came back ----------------------------------------------------------------------------------------------


def context_file(graph: Graph, *, arch: int = CHIP.arch, model: int = CHIP.model) -> onnx.ModelProto:
    """What the compiler writes, without a compiler."""
    names = " ".join(node.name for node in graph.model.graph.node)
    node = helper.make_node(
        "EPContext",
        list(INPUT_NAMES),
        [OUTPUT_NAME],
        "context",
        domain="com.microsoft",
        ep_cache_context=names.encode(),
    )
    inputs, outputs = list(graph.model.graph.input), list(graph.model.graph.output)
    file = helper.make_model(helper.make_graph([node], "ifrnet", inputs, outputs))
    helper.set_model_props(
        file, {"ep_compatibility_info.QNNExecutionProvider": f"v2:6:2.51.0:5.51.0:{arch}:{model}:0:0"}
    )
    return file


@pytest.fixture
def built(graph: Graph, seen: dict[str, Seen]) -> Built:
    form = Form.MIXED
    return Built(
        graph=graph,
        quantized=quantized(graph, seen, form),
        file=context_file(graph),
        form=form,
        soc=CHIP,
        size=SIZE,
    )


def test_a_right_file_passes(built: Built) -> None:
    details = check_file(built)
    assert details["partitions"] == 1
    assert (details["htp_arch"], details["soc_model"], details["part"]) == (75, 57, "SM8650")
    assert details["convolutions"] == {"int16": 18, "int8": 34}
    assert set(details["operations"]) == {"int16", "int8"}


def spoil(built: Built, sentinel: str) -> Built:
    """A build with one thing wrong."""
    if sentinel == "qnn-whole":
        file = context_file(built.graph)
        file.graph.node.append(helper.make_node("Identity", ["img0"], ["copy"]))
        return replace(built, file=file)
    if sentinel == "qnn-architecture":
        return replace(built, file=context_file(built.graph, arch=73, model=43))
    if sentinel == "qnn-inputs":
        return replace(built, size=Size(96, 160))
    if sentinel == "qnn-warps":
        file = context_file(built.graph)
        attribute = next(item for item in file.graph.node[0].attribute if item.name == "ep_cache_context")
        attribute.s = attribute.s.replace(b"grid_sampler_3", b"grid_sampler_x")
        return replace(built, file=file)
    return built


@pytest.mark.parametrize("sentinel", ["qnn-whole", "qnn-architecture", "qnn-inputs", "qnn-warps"])
def test_a_sentinel_fires(sentinel: str, built: Built) -> None:
    assert sentinel in SENTINELS
    with pytest.raises(SentinelError, match=f"sentinel {sentinel}: "):
        check_file(spoil(built, sentinel))


def test_flow_in_8_bits_is_seen(built: Built, seen: dict[str, Seen]) -> None:
    wrong = replace(built, quantized=quantized(built.graph, seen, Form.W8A8))
    with pytest.raises(
        SentinelError, match=r"sentinel qnn-flow: \w+, flow or positions, is computed in int8, not int16"
    ):
        check_file(wrong)


def test_float_where_integers_were_asked_for_is_seen(built: Built, seen: dict[str, Seen]) -> None:
    wrong = replace(built, quantized=quantized(built.graph, seen, Form.ISLAND))
    with pytest.raises(SentinelError, match=r"sentinel qnn-(flow|weights): "):
        check_file(wrong)


def test_a_file_that_says_nothing_is_for_no_chip(built: Built) -> None:
    file = context_file(built.graph)
    del file.metadata_props[:]
    assert Context.of(file).chip is None
    with pytest.raises(SentinelError, match="sentinel qnn-architecture: the file is for architecture and chip None"):
        check_file(replace(built, file=file))


# ---- the whole way, in the emulation -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(artifact: Callable[..., Path]) -> Callable[[Precision], Path]:
    """Artifacts that were emulated at their export: of the built-in weights, and for half precision of MODEL's."""
    models = {Precision.FP16: MODEL, Precision.INT8: "ifrnet_s"}
    return lambda precision: artifact("qnn", model=models[precision], size=str(SIZE), precision=precision)


@needs_package
@pytest.mark.parametrize(
    ("precision", "form", "least"), [(Precision.FP16, "fp16 + int16", 60.0), (Precision.INT8, "mixed", 40.0)]
)
def test_an_export_is_emulated(
    precision: Precision, form: str, least: float, exported: Callable[..., Path], ran: Callable[[str], None]
) -> None:
    manifest = read_manifest(exported(precision))
    record = manifest.parity_on(EMULATOR)
    assert record.verdict is Verdict.EMULATED, record.reason
    assert record.reason.startswith("Qualcomm's emulation of the Hexagon NPU, ")
    assert "no Hexagon NPU did" in record.reason
    assert record.arithmetic == manifest.details["form"] == form
    assert {result.t for result in record.results} == {0.25, 0.5}
    moved = 8.0 if precision is Precision.FP16 else 4.0
    assert all(result.psnr >= least and result.median_flow > moved for result in record.results)
    assert manifest.parity_on("npu").verdict is Verdict.NOT_RUN
    assert manifest.details["partitions"] == 1
    if precision is Precision.INT8:
        assert "(simulated: the graph that was compiled" in record.reason
        assert manifest.details["quality"]["simulation"]["drop"] <= 0.1
    ran("qnn:emulator")


@needs_package
def test_the_emulation_computes_what_the_simulation_does(
    exported: Callable[..., Path], frames: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> None:
    """What the quality gate measures on is what is compiled."""
    folder = exported(Precision.INT8)
    manifest = read_manifest(folder)
    sizes = SizeRange.static(SIZE)
    source = Source(load_model("ifrnet_s"), to_qnn.rewrites(Precision.INT8), Precision.FP32, sizes=sizes)
    given = feed()
    with pytest.warns(ParityNotRunWarning, match="parity not run on emulator: Qualcomm's emulation"):
        runtime = load(folder, device=EMULATOR)
    with runtime:
        emulated = runtime.infer(*(given[name] for name in INPUT_NAMES))
    from export.qnn_ranges import calibration_feeds

    graph = Graph(model=source.onnx)
    seen = observe(graph.model, calibration_feeds(SIZE, Timesteps.ANY))
    with Simulation(manifest, quantized(graph, seen, Form.MIXED).SerializeToString()) as runtime:
        simulated = runtime.infer(*(given[name] for name in INPUT_NAMES))
    assert psnr(emulated, simulated) > 42.0


@needs_package
def test_a_binary_of_another_architecture_is_refused(exported: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(exported(Precision.INT8), folder)
    artifact = open_artifact(folder)
    data = artifact.data(".onnx").replace(b":75:57:", b":73:43:")
    other = replace(artifact, contents={**artifact.contents, "model.onnx": data})
    with pytest.raises(ArtifactError) as caught:
        qnn.check_chip(other, qnn.built_for(other.data(".onnx")))
    assert str(caught.value) == (
        f"{folder} is built for Hexagon V73 (chip 43), its manifest says V75 (chip 57): export it again with the --soc "
        "of the phone"
    )
    with pytest.raises(ArtifactError, match="holds no context binary"):
        qnn.check_chip(artifact, qnn.built_for(b"nothing"))


@needs_package
def test_the_same_bytes_twice(exported: Callable[..., Path], tmp_path: Path) -> None:
    arguments = ["--target", "qnn", "--fp16", "--model", MODEL, "--size", str(SIZE), "--out", str(tmp_path)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert run("python -m export", main, arguments) == 0
    first = exported(Precision.FP16)
    for name in ("model.onnx", "proof.dat"):
        assert (first / name).read_bytes() == (tmp_path / first.name / name).read_bytes()
