"""The quality gate: what it makes of the losses of single triplets."""

from __future__ import annotations

import pytest

from export.int8.gate import Loss, summarise


def test_quality_is_a_mean_and_fails_over_the_limit() -> None:
    losses = [Loss(fp32=40.0, int8=39.5, int8_vs_fp32=50.0), Loss(fp32=30.0, int8=30.1, int8_vs_fp32=44.0)]
    quality = summarise(losses, 0.25)
    assert quality.drop == pytest.approx(0.2)
    assert quality.worst_drop == pytest.approx(0.5)
    assert quality.drop_high == pytest.approx(0.5)
    assert quality.samples_high == 1
    assert quality.passed
    assert not summarise(losses, 0.1).passed
    assert not summarise([Loss(fp32=40.0, int8=float("nan"), int8_vs_fp32=1.0)], 0.1).passed
