from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.speed.statistics import noise, summarise


def test_figures_of_known_samples() -> None:
    found = summarise([5.0, 1.0, 3.0, 2.0, 4.0])
    assert (found.median, found.p90, found.count) == (3.0, 4.6, 5)


def test_equal_samples_have_no_noise() -> None:
    assert noise([7.0] * 10) == 0.0


def test_one_sample_tells_nothing_about_noise() -> None:
    assert noise([7.0]) == math.inf


def test_drift_shows_although_the_order_statistics_agree() -> None:
    drifting = [100.0] * 10 + [110.0] * 10
    mixed = [100.0, 110.0] * 10
    assert noise(drifting) >= 0.09 > noise(mixed)


def test_few_samples_count_their_whole_range() -> None:
    assert noise([90.0, 110.0, 100.0]) == pytest.approx(max(10.0, 10.0) / 100.0)


def test_the_interval_covers_the_true_median() -> None:
    rng = np.random.default_rng(0)
    runs = [rng.lognormal(0.0, 0.1, 21) for _ in range(400)]
    covered = [abs(np.median(run) - 1.0) <= noise(list(run)) * np.median(run) for run in runs]
    assert np.mean(covered) > 0.93


def test_two_runs_of_one_distribution_agree_within_their_noise() -> None:
    rng = np.random.default_rng(1)
    pairs = [
        (summarise(list(rng.lognormal(0, 0.05, 20))), summarise(list(rng.lognormal(0, 0.05, 20)))) for _ in range(300)
    ]
    agree = [abs(a.median / b.median - 1.0) <= a.noise + b.noise for a, b in pairs]
    assert np.mean(agree) > 0.97
