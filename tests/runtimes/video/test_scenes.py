"""The cut score against PySceneDetect's, and what counts as a duplicate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenedetect import FrameTimecode  # type: ignore[import-untyped]
from scenedetect.detectors import ContentDetector  # type: ignore[import-untyped]

from runtimes.contract import Size
from runtimes.frames import Array
from runtimes.video.scenes import CUT_THRESHOLD, Thumbnail, cut_score, is_duplicate, thumbnail_size
from tests.runtimes.video.clips import draw


def reference(a: Array, b: Array) -> float:
    """PySceneDetect's score of the second frame."""
    detector = ContentDetector()
    for i, rgb in enumerate((a, b)):
        detector.process_frame(FrameTimecode(i, 25.0), np.ascontiguousarray(rgb[..., ::-1]))
    score = detector._frame_score
    assert score is not None
    return float(score)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 4, 16]), st.integers(0, 255))
def test_the_score_is_pyscenedetects(seed: int, block: int, spread: int) -> None:
    random = np.random.default_rng(seed)

    def picture() -> Array:
        coarse = random.integers(0, spread + 1, (48 // block, 64 // block, 3))
        return np.kron(coarse, np.ones((block, block, 1))).astype(np.uint8)

    a, b = picture(), picture()
    assert cut_score(Thumbnail.of(a), Thumbnail.of(b)) == pytest.approx(reference(a, b), abs=0.35), (
        "only halves may round otherwise"
    )


def test_drawn_scenes_score_alike() -> None:
    for a, b in ((draw(0), draw(1)), (draw(2), draw(3, scene=1)), (draw(5), draw(5))):
        assert cut_score(Thumbnail.of(a), Thumbnail.of(b)) == pytest.approx(reference(a, b), abs=0.1)


def test_cuts_and_motion_lie_on_their_sides_of_the_threshold() -> None:
    assert cut_score(Thumbnail.of(draw(2)), Thumbnail.of(draw(3))) < CUT_THRESHOLD
    assert cut_score(Thumbnail.of(draw(2)), Thumbnail.of(draw(3, scene=1))) > CUT_THRESHOLD
    assert ContentDetector()._threshold == CUT_THRESHOLD


def test_compression_noise_is_a_duplicate_and_a_small_move_is_not() -> None:
    size = Size(256, 144)
    frame = draw(0, size)
    noise = np.random.default_rng(0).integers(-3, 4, frame.shape)
    noisy = (frame.astype(int) + noise).clip(0, 255).astype(np.uint8)
    assert is_duplicate(Thumbnail.of(frame), Thumbnail.of(noisy))
    moved = frame.copy()
    moved[60:72, 20:32] = 255 - moved[60:72, 20:32]  # one small thing of 12 pixels; the mean difference is 0.5
    assert np.abs(moved.astype(int) - frame).mean() < 1
    assert not is_duplicate(Thumbnail.of(frame), Thumbnail.of(moved))


@pytest.mark.parametrize(
    ("size", "small"), [(Size(1920, 1080), (256, 144)), (Size(96, 64), (96, 64)), (Size(16384, 1), (256, 1))]
)
def test_thumbnails(size: Size, small: tuple[int, int]) -> None:
    assert thumbnail_size(size) == small
