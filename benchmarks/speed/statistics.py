"""From samples to figures: median, 90th percentile, and how far the median can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Samples in short.

    Attributes:
        median: in the unit of the samples.
        p90: 90th percentile.
        noise: relative uncertainty of the median; see :func:`noise`.
        count: number of samples.
    """

    median: float
    p90: float
    noise: float
    count: int


def summarise(samples: Sequence[float]) -> Summary:
    """The figures of positive samples in the order in which they were taken."""
    values = np.asarray(samples, dtype=np.float64)
    return Summary(
        median=float(np.median(values)),
        p90=float(np.quantile(values, 0.9)),
        noise=noise(samples),
        count=len(values),
    )


def noise(samples: Sequence[float]) -> float:
    """How far the median may be off, as a share of it.

    The larger of two estimates: half the width of the distribution-free 95 % interval of the median (order statistics;
    the whole range below six samples), and the distance between the medians of the first and the second half, which
    shows drift that the interval does not see. One sample has no noise estimate: infinity.
    """
    count = len(samples)
    if count < 2:
        return math.inf
    values = np.sort(np.asarray(samples, dtype=np.float64))
    reach = 0.98 * math.sqrt(count)  # 1.96 standard deviations of a binomial(count, 1/2)
    low = max(math.floor(count / 2 - reach), 0) if count >= 6 else 0
    high = min(math.ceil(count / 2 + reach), count - 1) if count >= 6 else count - 1
    interval = (values[high] - values[low]) / 2
    half = count // 2
    drift = abs(float(np.median(samples[:half])) - float(np.median(samples[-half:])))
    return float(max(interval, drift) / np.median(values))
