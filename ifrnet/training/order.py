"""The order in which a finite set is walked: every element once an epoch, a function of seed and position alone."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, size: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(size)


def epoch_position(index: int, size: int, seed: int) -> int:
    """The element at running position ``index`` of an endless walk over ``size`` elements."""
    epoch, place = divmod(index, size)
    return int(_permutation(seed, epoch, size)[place])
