"""Miniature copies of each published folder structure, cut out of real frames."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.__main__ import PROGRAM, main
from benchmarks.datasets import open_dataset
from benchmarks.errors import BenchmarkError
from benchmarks.methods import Network
from benchmarks.public_datasets import MODES
from benchmarks.results_file import Kind, Results, load_results
from benchmarks.samples import Dataset, Padding, Sample, pad, padded
from runtimes.base import Runtime
from runtimes.cli import run
from runtimes.contract import Timesteps
from runtimes.frames import Array, to_tensor

REAL = Path(__file__).parents[2] / "assets" / "bbb"


def _real() -> list[NDArray[np.uint8]]:
    """Three consecutive frames of Big Buck Bunny."""
    names = ("frame0.png", "middle.png", "frame1.png")
    return [np.asarray(Image.open(REAL / name).convert("RGB")) for name in names]


def _cut(width: int, height: int, at: int = 0) -> list[NDArray[np.uint8]]:
    return [frame[100 + at : 100 + at + height, 200 + at : 200 + at + width] for frame in _real()]


def _save(path: Path, frame: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(frame).save(path)


def _vimeo90k(root: Path) -> Path:
    names = ["00001/0001", "00001/0389", "00096/0123"]
    for number, name in enumerate(names):
        for file, frame in zip(("im1.png", "im2.png", "im3.png"), _cut(64, 48, 8 * number), strict=True):
            _save(root / "sequences" / name / file, frame)
    (root / "tri_testlist.txt").write_text("\n".join(names) + "\n\n")
    return root


def _ucf101(root: Path) -> Path:
    for name in ("1", "11", "141"):
        for file, frame in zip(("frame_00.png", "frame_01_gt.png", "frame_02.png"), _cut(48, 48), strict=True):
            _save(root / name / file, frame)
    return root


def _snu_film(root: Path) -> Path:
    for mode in MODES:
        paths = [f"test/GOPRO_test/{mode}/{number:06}.png" for number in (1, 9, 17)]
        for path, frame in zip(paths, _cut(70, 50), strict=True):
            _save(root / path, frame)
        prefix = "data/SNU-FILM/" if mode == "easy" else ""
        (root / f"test-{mode}.txt").write_text(" ".join(prefix + path for path in paths) + "\n")
    return root


def _middlebury(root: Path) -> Path:
    for name, width, height in (("Beanbags", 64, 48), ("Dimetrodon", 58, 38)):
        before, truth, after = _cut(width, height)
        _save(root / "other-data" / name / "frame10.png", before)
        _save(root / "other-data" / name / "frame11.png", after)
        _save(root / "other-gt-interp" / name / "frame10i11.png", truth)
    return root


def _multiframe(root: Path) -> Path:
    """Two videos: 18 frames give two windows, 9 give one; real texture that pans."""
    frame = _real()[0]
    for name, count in (("GOPR0384_11_00", 18), ("GOPR0385_11_01", 9)):
        for number in range(count):
            _save(root / "test" / name / f"{number:06}.png", frame[60:108, 2 * number : 2 * number + 64])
    return root


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "vimeo90k": _vimeo90k,
    "ucf101": _ucf101,
    "snu_film": _snu_film,
    "middlebury": _middlebury,
    "gopro": _multiframe,
    "adobe240": _multiframe,
}

FIRST_FILE = {
    "vimeo90k": "sequences/00001/0389/im2.png",
    "ucf101": "11/frame_01_gt.png",
    "snu_film": "test/GOPRO_test/hard/000009.png",
    "middlebury": "other-data/Dimetrodon/frame11.png",
}


@pytest.fixture(params=LAYOUTS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    return open_dataset(request.param, LAYOUTS[request.param](tmp_path))


class Recorder(Runtime):
    """Gives the mean of both frames, and keeps what it was shown."""

    def __init__(self, dataset: Dataset, timesteps: Timesteps = Timesteps.ANY) -> None:
        from benchmarks.bare import bare_manifest

        manifest = bare_manifest("recorder", backend="none", timesteps=timesteps, scale=dataset.scale)
        super().__init__(manifest, backend="none", device="cpu", arithmetic="fp32", threads=None)
        self.shown: list[tuple[Array, Array, float]] = []

    def _infer(self, img0: Array, img1: Array, t: Array) -> Array:
        self.shown.append((img0, img1, float(t.item())))
        return np.asarray(0.5 * (img0 + img1), np.float32)


def test_every_sample_is_read_with_its_answer(opened: Dataset) -> None:
    samples = list(opened.samples())
    assert len(samples) == len(opened) > 0
    assert len({sample.id for sample in samples}) == len(samples)
    groups = {group for part in opened.sections.values() for group in part}
    assert {sample.group for sample in samples} == groups
    for sample in samples:
        assert sample.frame0.shape == sample.truth.shape == sample.frame1.shape
        between = np.abs(to_tensor(sample.truth) - to_tensor(sample.frame0)).mean()
        apart = np.abs(to_tensor(sample.frame1) - to_tensor(sample.frame0)).mean()
        assert 0 < between < 1.1 * apart, "the answer is not between its frames"


def test_what_is_done_is_not_read_again(opened: Dataset) -> None:
    samples = list(opened.samples())
    done = {samples[0].window}
    rest = list(opened.samples(done))
    assert [sample.id for sample in rest] == [sample.id for sample in samples if sample.window not in done]


def test_the_network_sees_padded_frames_and_answers_true_ones(opened: Dataset) -> None:
    sample = next(iter(opened.samples()))
    runtime = Recorder(opened)
    out = Network(runtime, opened)(sample)
    assert out.shape == (1, 3, *sample.truth.shape[:2])
    np.testing.assert_allclose(out, 0.5 * (to_tensor(sample.frame0) + to_tensor(sample.frame1)), atol=1e-6)
    img0, _, t = runtime.shown[0]
    assert t == sample.t
    height, width = img0.shape[2:]
    if opened.padding is Padding.SPLIT:
        assert (width, height, opened.scale) == (80, 60, 0.8)
    elif opened.padding is Padding.FIXED:
        assert (width, height) == (640, 480)
    else:
        assert (height, width) == sample.truth.shape[:2]


def test_padding_is_replicated_on_both_sides_for_snu_film() -> None:
    frame = np.arange(3 * 5 * 3, dtype=np.uint8).reshape(3, 5, 3)
    found, window = pad(frame, Padding.SPLIT)
    assert found.shape == (20, 20, 3)
    np.testing.assert_array_equal(found[window], frame)
    assert window == np.s_[8:11, 7:12]  # 17 rows: 8 above, 9 below; 15 columns: 7 and 8
    np.testing.assert_array_equal(found[0, 0], frame[0, 0])
    np.testing.assert_array_equal(found[-1, -1], frame[-1, -1])


def test_padding_is_zero_on_the_right_and_below_for_middlebury() -> None:
    frame = np.full((388, 584, 3), 7, np.uint8)
    found, window = pad(frame, Padding.FIXED)
    assert found.shape == (480, 640, 3)
    assert found.sum() == frame.sum()
    np.testing.assert_array_equal(found[window], frame)
    with pytest.raises(BenchmarkError, match="641x480; the protocol pads to 640x480"):
        pad(np.zeros((480, 641, 3), np.uint8), Padding.FIXED)


def test_both_frames_are_padded_and_the_truth_is_not() -> None:
    frame = np.zeros((10, 10, 3), np.uint8)
    sample = Sample(id="a", group="g", window="a", frame0=frame, frame1=frame, t=0.5, truth=frame)
    shown, _ = padded(sample, Padding.SPLIT)
    assert shown.frame0.shape == shown.frame1.shape == (20, 20, 3)
    assert shown.truth.shape == (10, 10, 3)


def test_windows_of_nine_frames_with_stride_eight(tmp_path: Path) -> None:
    samples = list(open_dataset("gopro", _multiframe(tmp_path)).samples())
    assert len(samples) == 3 * 7
    assert [sample.t for sample in samples[:7]] == [k / 8 for k in range(1, 8)]
    assert [sample.id for sample in samples[6:8]] == ["GOPR0384_11_00/0+7", "GOPR0384_11_00/8+1"]
    np.testing.assert_array_equal(samples[6].frame1, samples[7].frame0)


def test_the_crop_is_central_and_only_for_8x(tmp_path: Path) -> None:
    root = _multiframe(tmp_path)
    whole, cut = (next(iter(open_dataset("gopro", root, side).samples())) for side in (None, 32))
    np.testing.assert_array_equal(cut.truth, whole.truth[8:40, 16:48])
    assert "centre crops of 32x32" in open_dataset("gopro", root, 32).notes[0]
    assert "whole frames" in open_dataset("adobe240", root).notes[0]
    with pytest.raises(BenchmarkError, match="--crop is for gopro and adobe240"):
        open_dataset("ucf101", root, 32)


def test_incomplete_sets_are_said_to_be(opened: Dataset) -> None:
    assert any("do not compare" in note or "split of Adobe240" in note for note in opened.notes)


@pytest.mark.parametrize("name", LAYOUTS)
def test_an_empty_folder_names_the_file_and_the_layout(name: str, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=rf"{name} expects .*ROOT") as caught:
        open_dataset(name, tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", FIRST_FILE)
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    root = LAYOUTS[name](tmp_path)
    (root / FIRST_FILE[name]).unlink()
    with pytest.raises(BenchmarkError, match=rf"{FIRST_FILE[name]} is missing; {name} expects"):
        open_dataset(name, root)


def test_frames_of_two_sizes_are_refused(tmp_path: Path) -> None:
    root = _ucf101(tmp_path)
    _save(root / "1" / "frame_02.png", _cut(40, 40)[0])
    with pytest.raises(BenchmarkError, match="the frames of 1 differ in size"):
        list(open_dataset("ucf101", root).samples())


def test_a_list_with_two_paths_a_line_is_refused(tmp_path: Path) -> None:
    root = _snu_film(tmp_path)
    (root / "test-hard.txt").write_text("a.png b.png\n")
    with pytest.raises(BenchmarkError, match=r"test-hard.txt, line 1 has 2 paths"):
        open_dataset("snu_film", root)


def test_lists_may_lie_in_eval_modes(tmp_path: Path) -> None:
    root = _snu_film(tmp_path)
    (root / "eval_modes").mkdir()
    for mode in MODES:
        shutil.move(root / f"test-{mode}.txt", root / "eval_modes")
    assert len(open_dataset("snu_film", root)) == 4


def test_networks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    gopro, snu = open_dataset("gopro", _multiframe(tmp_path / "a")), open_dataset("snu_film", _snu_film(tmp_path / "b"))
    with pytest.raises(BenchmarkError, match=r"serves t = 0\.5 only, and gopro asks for t = 1/8 to 7/8"):
        Network(Recorder(gopro, Timesteps.MIDDLE), gopro)
    with pytest.raises(BenchmarkError, match=r"runs at scale 1, .* snu_film at 0.8: export it with --scale 0.8"):
        Network(Recorder(gopro), snu)


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
    assert len(results.rows) == 3 * len(groups)
    assert {row["name"] for row in results.rows} == {"averaging", "OpenCV DIS", model}
    assert not out.with_name("a.json.partial").exists()
    for row in results.rows:
        samples = [s for s in results.summary["samples"] if (s["method"], s["group"]) == (row["name"], row["part"])]
        assert row["samples"] == len(samples)
        assert row["psnr"] == pytest.approx(np.mean([sample["psnr"] for sample in samples]), rel=1e-5)
        assert (row["flicker"] is None) == (name != "gopro")
    average, _, network = results.rows[:3]
    assert average["psnr"] > network["psnr"], "random weights cannot be better than averaging"
    shown = capsys.readouterr().out
    if name != "gopro":
        assert network["paper_psnr"] == {"vimeo90k": 35.59, "snu_film": 39.96}[name]
        assert str(network["paper_psnr"]) in shown
    assert average["paper_psnr"] is None


def test_an_interrupted_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import scoring

    root, out = _ucf101(tmp_path / "data"), tmp_path / "a.json"
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
    root, out = _ucf101(tmp_path / "data"), tmp_path / "a.json"
    out.with_name("a.json.partial").write_text('{"dataset": "vimeo90k"}\n')
    assert _accuracy("--dataset", "ucf101", "--root", root, "--json", out) == 1
    assert "was begun by another measurement" in capsys.readouterr().err
    assert out.with_name("a.json.partial").exists()


def test_an_artifact_is_measured_like_its_model(artifacts: Path, latency_file: Path, tmp_path: Path) -> None:
    (path,) = artifacts.glob("*-onnx-fp32-64x48")
    root, out = _vimeo90k(tmp_path / "data"), tmp_path / "a.json"
    what = ("--model", "random:ifrnet_s", "--artifact", path, "--json", out)
    assert _accuracy("--dataset", "vimeo90k", "--root", root, *what) == 0
    model, artifact = _read(out).rows
    assert artifact["name"] == "ifrnet_s-random0-onnx-fp32-64x48 on cpu"
    assert artifact["psnr"] == pytest.approx(model["psnr"], abs=0.01)
    assert artifact["paper_psnr"] == model["paper_psnr"] == 35.59


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--dataset", "vimeo90k"],
            "vimeo90k does not come with this package: fetch it, and give its folder as --root",
        ),
        (["--dataset", "xiph"], "invalid choice: 'xiph'"),
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
