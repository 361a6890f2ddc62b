"""GoPro 8x (Nah et al., CVPR 2017): windows of nine frames, the outer two in, the seven between asked for.

Layout as published: ``train/<video>/*.png`` (or the videos' folders directly below the root). Windows start every
eight frames, as in the test protocol; there are no reference flows, so the distillation weight has to be zero.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ifrnet.training.errors import TrainingError
from ifrnet.training.order import epoch_position
from ifrnet.training.samples import Sample, read_image, without_flow

SPAN = 8
"""Frames from the first to the last of a window."""

SUFFIXES = (".png", ".jpg", ".jpeg")


class GoPro:
    """Windows of the training videos; consecutive positions take the seven times of one window in turn."""

    def __init__(self, root: Path, seed: int = 0) -> None:
        """Raises TrainingError where no video folder holds nine frames."""
        base = root / "train" if (root / "train").is_dir() else root
        self.windows: list[tuple[Path, ...]] = []
        for folder in sorted(path for path in base.glob("*") if path.is_dir()) if base.is_dir() else ():
            frames = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
            starts = range(0, len(frames) - SPAN, SPAN)
            self.windows += [tuple(frames[start : start + SPAN + 1]) for start in starts]
        if not self.windows:
            raise TrainingError(
                f"{base} holds nothing usable: looked for folders of at least {SPAN + 1} frames ({', '.join(SUFFIXES)})"
            )
        self._seed = seed

    def draw(self, index: int, rng: np.random.Generator) -> Sample:
        """See :class:`ifrnet.training.samples.TrainingSet`; t is k/8, k = 1..7."""
        window, step = divmod(index, SPAN - 1)
        frames = self.windows[epoch_position(window, len(self.windows), self._seed)]
        k = step + 1
        img0, truth, img1 = (read_image(frames[i]) for i in (0, k, SPAN))
        return without_flow(img0, truth, img1, k / SPAN)
