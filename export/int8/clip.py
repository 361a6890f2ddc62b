"""The clips that are shipped: some scenes are calibrated on, the others tell what INT8 loses."""

from __future__ import annotations

from pathlib import Path

from ifrnet.footage.video import Frame, read_frames

_CLIPS = Path(__file__).parent / "clips"

CLIP = _CLIPS / "bbb-calibration.mp4"
"""Ten scenes of ten frames of Big Buck Bunny, see ATTRIBUTION.md beside it."""

LIVE = _CLIPS / "box-held-aside.mp4"
"""One scene of ten frames that a camera took, where little moves. What INT8 loses there no animation shows: with a
recipe that lost 0.4 dB of it, OpenVINO's artifact of any size passed on the animation alone, with 0.095 dB."""

SCENE_FRAMES = 10

HELD_ASIDE = 80
"""Frames of :data:`CLIP` from here on are for the quality gate and never calibrated on: its last two scenes."""

TRIPLETS = ((0, 1, 2), (3, 5, 7), (5, 7, 9))
"""Frames of each held-aside scene: two that go in, and the truth between them."""


BESIDE = (3, 7)
"""Frames of each of the other scenes that go in, where a target needs to see values for itself."""


def calibration_pairs() -> list[tuple[Frame, Frame]]:
    """One pair, (H, W, 3) uint8 RGB, of each scene that is not held aside."""
    frames = list(read_frames(CLIP))[:HELD_ASIDE]
    return [(frames[s + BESIDE[0]], frames[s + BESIDE[1]]) for s in range(0, len(frames), SCENE_FRAMES)]


def held_aside() -> list[tuple[Frame, Frame, Frame]]:
    """First, true middle and last frame, (H, W, 3) uint8 RGB, of the triplets that nothing is calibrated on."""
    frames = [*list(read_frames(CLIP))[HELD_ASIDE:], *read_frames(LIVE)]
    scenes = range(0, len(frames), SCENE_FRAMES)
    return [(frames[s + a], frames[s + b], frames[s + c]) for s in scenes for a, b, c in TRIPLETS]
