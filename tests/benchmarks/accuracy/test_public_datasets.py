"""The protocols, on miniature copies of each published folder structure."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.accuracy.datasets import open_dataset
from benchmarks.accuracy.methods import Network
from benchmarks.accuracy.public_datasets import MODES
from benchmarks.accuracy.samples import Dataset, Padding, Sample, pad, padded
from benchmarks.errors import BenchmarkError
from runtimes.base import Runtime
from runtimes.contract import Timesteps
from runtimes.frames import Array, to_tensor
from runtimes.video.errors import VideoError
from tests.benchmarks.accuracy.miniatures import LAYOUTS, cut, multiframe, save, snu_film, ucf101

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
        from benchmarks.speed.without_artifact import manifest_without_files

        manifest = manifest_without_files("recorder", backend="none", timesteps=timesteps, scale=dataset.scale)
        super().__init__(manifest, backend="none", device="cpu", arithmetic="fp32")
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
    assert out is not None
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
    samples = list(open_dataset("gopro", multiframe(tmp_path)).samples())
    assert len(samples) == 3 * 7
    assert [sample.t for sample in samples[:7]] == [k / 8 for k in range(1, 8)]
    assert [sample.id for sample in samples[6:8]] == ["GOPR0384_11_00/0+7", "GOPR0384_11_00/8+1"]
    np.testing.assert_array_equal(samples[6].frame1, samples[7].frame0)


def test_the_crop_is_central_and_only_for_8x(tmp_path: Path) -> None:
    root = multiframe(tmp_path)
    whole, cut = (next(iter(open_dataset("gopro", root, side).samples())) for side in (None, 32))
    np.testing.assert_array_equal(cut.truth, whole.truth[8:40, 16:48])
    assert "centre crops of 32x32" in open_dataset("gopro", root, 32).notes[0]
    assert "whole frames" in open_dataset("adobe240", root).notes[0]
    with pytest.raises(BenchmarkError, match="--crop is for gopro and adobe240"):
        open_dataset("ucf101", root, 32)
    height, width = whole.truth.shape[:2]
    with pytest.raises(BenchmarkError, match=f"--crop {height + 1}: a frame is {width}x{height}"):
        next(iter(open_dataset("gopro", root, height + 1).samples()))


def test_files_that_are_no_text_and_no_frames_are_refused(tmp_path: Path) -> None:
    root = snu_film(tmp_path / "lists")
    (root / "test-hard.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(BenchmarkError, match=r"test-hard.txt is no text"):
        open_dataset("snu_film", root)
    root = ucf101(tmp_path / "frames")
    Image.new("1", (30000, 20000)).save(root / "1" / "frame_02.png")
    with pytest.raises(VideoError, match="declares a size that is not decoded"):
        list(open_dataset("ucf101", root).samples())


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
    root = ucf101(tmp_path)
    save(root / "1" / "frame_02.png", cut(40, 40)[0])
    with pytest.raises(BenchmarkError, match="the frames of 1 differ in size"):
        list(open_dataset("ucf101", root).samples())


def test_a_list_with_two_paths_a_line_is_refused(tmp_path: Path) -> None:
    root = snu_film(tmp_path)
    (root / "test-hard.txt").write_text("a.png b.png\n")
    with pytest.raises(BenchmarkError, match=r"test-hard.txt, line 1 has 2 paths"):
        open_dataset("snu_film", root)


def test_lists_may_lie_in_eval_modes(tmp_path: Path) -> None:
    root = snu_film(tmp_path)
    (root / "eval_modes").mkdir()
    for mode in MODES:
        shutil.move(root / f"test-{mode}.txt", root / "eval_modes")
    assert len(open_dataset("snu_film", root)) == 4


def test_networks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    gopro, snu = open_dataset("gopro", multiframe(tmp_path / "a")), open_dataset("snu_film", snu_film(tmp_path / "b"))
    with pytest.raises(BenchmarkError, match=r"serves t = 0\.5 only, and gopro asks for t = 1/8 to 7/8"):
        Network(Recorder(gopro, Timesteps.MIDDLE), gopro)
    with pytest.raises(BenchmarkError, match=r"runs at scale 1, .* snu_film at 0.8: export it with --scale 0.8"):
        Network(Recorder(gopro), snu)
