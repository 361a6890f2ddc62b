"""The scene of :mod:`runtimes.scene` as the network takes it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from runtimes.contract import Size
from runtimes.frames import to_tensor
from runtimes.scene import Scene


def moving_pair(size: Size, *, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two frames of one moving scene.

    Args:
        size: of the frames, in pixels.
        seed: of the texture and the directions.

    Returns:
        float32 (1, 3, H, W) twice, in [0, 1].
    """
    img0, img1 = Scene.of(size, seed=seed).frames()
    return to_tensor(img0), to_tensor(img1)


def moving_frame(size: Size, time: float, *, seed: int = 0) -> NDArray[np.float32]:
    """The scene of :func:`moving_pair` at a time between its frames: the truth that interpolation should give.

    Returns:
        float32 (1, 3, H, W) in [0, 1].
    """
    scene = Scene.of(size, seed=seed)
    return to_tensor(scene.render(scene.at(Fraction(time))))
