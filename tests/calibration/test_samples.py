"""Samples: spread over motion and scenes, the same for a seed; and one line for everything that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calibration.footage import Footage
from calibration.samples import MOTION_BINS, Candidate, candidates, pick, stratify
from export.int8.clip import HELD_ASIDE, held_aside
from export.int8.errors import CalibrationError
from ifrnet.footage.triplets import Triplet
from runtimes.video.errors import VideoError
from tests.calibration.moving import Frames, panning

Write = Callable[[Frames], Path]


def candidate(first: int, scene: int, motion: float) -> Candidate:
    return Candidate(triplet=Triplet(first=first, middle=first + 1, last=first + 2), scene=scene, motion=motion)


def test_motion_bins_and_scenes_get_equal_shares() -> None:
    found = [candidate(i, scene=i % 2, motion=1.0) for i in range(100)]
    found += [candidate(200 + i, scene=7 + i, motion=MOTION_BINS[-1] + 1) for i in range(3)]
    chosen = stratify(found, 6)
    assert [c.bin for c in chosen].count(3) == 3
    assert sorted(c.scene for c in chosen if c.bin == 0) in ([0, 0, 1], [0, 1, 1])


def test_the_choice_follows_the_seed() -> None:
    found = [candidate(i, scene=0, motion=1.0) for i in range(50)]
    assert stratify(found, 8, seed=1) == stratify(found, 8, seed=1) != stratify(found, 8, seed=2)


def test_all_are_taken_where_there_are_fewer() -> None:
    assert len(stratify([candidate(i, 0, 2.0) for i in range(3)], 10)) == 3


def test_motion_is_measured_in_pixels_of_the_frame(folder: Write) -> None:
    found = candidates(Footage(path=folder(panning(6, size=(360, 640), step=8))))
    neighbours = [c.motion for c in found if c.triplet.last - c.triplet.first == 2]
    assert np.median(neighbours) == pytest.approx(16.0, rel=0.3)


def test_samples_are_the_frames_of_the_footage_and_are_hashed(folder: Write) -> None:
    frames = panning(8)
    path = folder(frames)
    picked = pick(Footage(path=path), 4)
    assert len(picked.samples) == sum(picked.bins) == 4
    for sample in picked.samples:
        assert (sample.truth == frames[sample.triplet.middle]).all()
        assert (sample.frame1 == frames[sample.triplet.last]).all()
    assert pick(Footage(path=path), 4).sha256 == picked.sha256 != pick(Footage(path=path), 4, seed=5).sha256


def test_frames_come_in_the_order_of_their_numbers(folder: Write) -> None:
    frames = panning(12)
    path = folder(frames)
    for i in range(12):
        (path / f"{i:03d}.png").rename(path / f"f{i}.png")
    (path / "._f0.png").write_bytes(b"what macOS writes beside each file on a foreign disk")
    assert all((found == frame).all() for found, frame in zip(Footage(path=path).frames(), frames, strict=True))


def test_cuts_and_repeated_frames_are_skipped(folder: Write) -> None:
    frames = panning(8, step=1) + [255 - frame for frame in panning(8, step=1)]
    frames[4] = frames[3]
    used = [c.triplet for c in candidates(Footage(path=folder(frames)))]
    assert used
    assert all(not t.first <= 3 < t.last and not t.first <= 7 < t.last for t in used)


def test_held_aside_scenes_are_never_calibrated_on() -> None:
    picked = candidates(Footage.shipped())
    assert max(c.triplet.last for c in picked) < HELD_ASIDE
    assert len({c.scene for c in picked}) == 8
    aside = held_aside()
    assert [first.shape[:2] for first, _, _ in aside] == [(720, 1280)] * 6 + [(480, 640)] * 3
    changes = [np.abs(first.astype(int) - last).mean() for first, _, last in aside]
    assert min(changes[:6]) > 2.0
    assert 1.0 < min(changes[6:]) < max(changes[6:]) < 3.0  # the live scene: noise, and a slow hand


STILL = [panning(1)[0]] * 6


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (STILL, "none of its 6 frames moves"),
        (panning(1), "has 1 frame"),
        (panning(4, size=(48, 200)), "is 200x48; calibration needs frames of 64x64"),
        ([*panning(3), *panning(3, size=(128, 96))], "frames of one size"),
        ([], "holds no images"),
    ],
)
def test_unusable_footage_is_refused_in_one_line(folder: Write, frames: Frames, words: str) -> None:
    with pytest.raises(CalibrationError) as caught:
        pick(Footage(path=folder(frames)), 4)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


def test_unreadable_files_are_refused(tmp_path: Path, folder: Write) -> None:
    with pytest.raises(CalibrationError, match="does not exist"):
        pick(Footage(path=tmp_path / "none.mp4"), 4)
    path = folder(panning(3))
    (path / "001.png").write_bytes(b"no image")
    with pytest.raises(VideoError, match=r"001\.png cannot be read as an image"):
        pick(Footage(path=path), 4)
    Image.new("1", (30000, 20000)).save(path / "001.png")
    with pytest.raises(VideoError, match=r"001\.png declares a size that is not decoded"):
        pick(Footage(path=path), 4)


def test_gray_images_of_16_bits_keep_their_values(tmp_path: Path) -> None:
    gray = panning(1)[0][..., 0]
    Image.fromarray(gray.astype(np.uint16) * 257).save(tmp_path / "0.png")
    (frame,) = Footage(path=tmp_path).frames()
    assert frame.dtype == np.uint8
    assert (frame == gray[..., None]).all()
