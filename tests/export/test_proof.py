"""The proof that an export writes: how large it is, how well it estimates, and what it catches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from export.proof import PATCHES, Proofs, choose_patches, inclusion, sensitivity
from export.targets import BF16_TOLERANCE, FP16_TOLERANCE, FP32_TOLERANCE, INT8_TOLERANCE, Tolerance
from export.verify import Case, Reference, verification_sizes
from ifrnet import interpolate, load_model, random_model
from ifrnet.model import IFRNet
from runtimes.artifact import DeviceParity, ParityResult
from runtimes.compare import compare
from runtimes.contract import Precision, Size, SizeRange, Timesteps, Verdict
from runtimes.proof import Answer, block_side, compare_with, read_proof

SIZE = Size(320, 176)
SIZES = SizeRange.static(SIZE)

TOLERANCES = {
    Precision.FP32: FP32_TOLERANCE,
    Precision.FP16: FP16_TOLERANCE,
    Precision.BF16: BF16_TOLERANCE,
    Precision.INT8: INT8_TOLERANCE,
}


@pytest.fixture(scope="module")
def model() -> IFRNet:
    return load_model("ifrnet_s")


@pytest.fixture(scope="module")
def reference(model: IFRNet) -> Reference:
    return Reference(model, Timesteps.ANY, 1.0)


def answers_for(reference: Reference, tolerance: Tolerance, precision: Precision) -> tuple[Answer, ...]:
    (case,) = read_proof(Proofs(reference).make(SIZES, tolerance, precision, ()), SIZES)
    return case.answers


def test_the_chances_add_up_and_none_is_above_one() -> None:
    energy = np.random.default_rng(0).exponential(1.0, 5000) ** 4
    chances = inclusion(energy, 800)
    assert chances.max() <= 1.0
    assert chances.sum() == pytest.approx(800)
    assert (chances > 0.0).all()
    assert inclusion(energy, 5000).min() == 1.0
    np.testing.assert_allclose(inclusion(np.zeros(100), 10), 0.1)


def test_the_sum_of_all_is_estimated_without_bias() -> None:
    rng = np.random.default_rng(0)
    energy = rng.exponential(1.0, (60, 80))
    estimates = []
    for _ in range(40):
        error = energy * rng.uniform(0.3, 3.0, energy.shape)
        corners, weights = choose_patches(energy, 900)
        found = error[corners[:, 1] // 4, corners[:, 0] // 4]
        estimates.append((weights * found).sum() / error.sum())
    assert len(corners) == 900
    assert np.mean(estimates) == pytest.approx(1.0, abs=0.02)


def test_sensitive_places_come_in(reference: Reference) -> None:
    """The borders that content crosses, the rim of the disc: where rounding moves the network."""
    case = reference.cases(SIZE)[1]
    energy = sensitivity(reference.rounded(case, torch.bfloat16), case.expected)
    corners, weights = choose_patches(energy, 500)
    assert energy.shape == (44, 80)
    kept = energy[corners[:, 1] // 4, corners[:, 0] // 4]
    assert kept.mean() > 2.0 * energy.mean()
    assert weights.min() >= 1.0


@pytest.mark.parametrize("precision", [Precision.BF16, Precision.FP16])
def test_the_psnr_of_the_patches_is_that_of_the_frame(reference: Reference, precision: Precision) -> None:
    dtype = {Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}[precision]
    answers = answers_for(reference, TOLERANCES[precision], precision)
    for case, answer in zip(reference.cases(SIZE), answers, strict=True):
        output = reference.rounded(case, dtype)
        whole, small = compare(output, case.expected), compare_with(answer, block_side(SIZE), output)
        assert small.psnr == pytest.approx(whole.psnr, abs=1.0)
        assert small.max_error <= whole.max_error
        assert small.trouble == ""


@pytest.mark.parametrize("size", [Size(1280, 720), Size(3840, 2160)])
def test_the_file_stays_small(size: Size, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size does not depend on what the network computes, which would take minutes at 4K."""
    reference = Reference(random_model("ifrnet_s"), Timesteps.ANY, 1.0)
    zeros = np.zeros((1, 3, size.height, size.width), np.float32)
    from runtimes.scene import Scene

    scene = Scene.of(size)
    cases = tuple(Case(scene=scene, t=t, img0=zeros, img1=zeros, expected=zeros, median_flow=9.0) for t in (0.25, 0.5))
    monkeypatch.setattr(reference, "cases", lambda _: cases)
    monkeypatch.setattr(reference, "rounded", lambda *_: zeros)
    data = Proofs(reference).make(SizeRange.static(size), FP32_TOLERANCE, Precision.FP32, ())
    assert len(data) <= (400_000 if size.width == 1280 else 1_000_000)
    (found,) = read_proof(data, SizeRange.static(size))
    assert sum(len(answer.corners) for answer in found.answers) == PATCHES


def test_a_free_size_has_both_of_the_gates(reference: Reference) -> None:
    sizes = SizeRange(minimum=Size(32, 32), typical=Size(160, 96), maximum=Size(200, 200))
    found = read_proof(Proofs(reference).make(sizes, FP32_TOLERANCE, Precision.FP32, ()), sizes)
    assert tuple(case.scene.size for case in found) == verification_sizes(sizes)


def test_a_model_of_the_middle_is_asked_for_the_middle() -> None:
    reference = Reference(random_model("ifrnet_s"), Timesteps.MIDDLE, 1.0)
    (case,) = read_proof(Proofs(reference).make(SIZES, FP32_TOLERANCE, Precision.FP32, ()), SIZES)
    assert [answer.t for answer in case.answers] == [0.5]


def test_limits_are_as_wide_as_the_gates(reference: Reference) -> None:
    """Where the gate excused an error by the weights, the proof does as well, and nowhere else."""
    strict = replace(BF16_TOLERANCE, psnr=90.0, max_error=1e-4)
    result = ParityResult(
        size=SIZE, t=0.25, max_error=0.01, mean_error=1e-4, psnr=70.0, ssim=1.0, worst=(0, 0, 0), median_flow=9.0
    )
    passed = DeviceParity(device="cpu", verdict=Verdict.PASSED, results=(result,))
    for record, wider in ((passed, True), (replace(passed, verdict=Verdict.FAILED), False)):
        data = Proofs(reference).make(SIZES, strict, Precision.BF16, (record,))
        first, second = read_proof(data, SIZES)[0].answers
        assert (first.limits.psnr < 80.0) == wider
        assert (first.limits.max_error > 1e-3) == wider
        assert (second.limits.psnr, second.limits.max_error) == (90.0, 1e-4)


# ---- what it catches ------------------------------------------------------------------------------------------


def wrong_tile(frame: NDArray[np.float32], x: int, y: int) -> NDArray[np.float32]:
    """16 x 16 px that hold what belongs 32 px further on."""
    changed = frame.copy()
    height, width = frame.shape[2:]
    other_x, other_y = (x + 32) % (width - 16), (y + 32) % (height - 16)
    changed[:, :, y : y + 16, x : x + 16] = frame[:, :, other_y : other_y + 16, other_x : other_x + 16]
    return changed


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16, Precision.BF16])
def test_one_wrong_tile_anywhere(reference: Reference, precision: Precision) -> None:
    answers = answers_for(reference, TOLERANCES[precision], precision)
    case = reference.cases(SIZE)[0]
    missed = [
        (x, y)
        for x in range(0, SIZE.width - 15, 48)
        for y in range(0, SIZE.height - 15, 40)
        if not compare_with(answers[0], block_side(SIZE), wrong_tile(case.expected, x, y)).trouble
    ]
    assert missed == []


def half_positions(model: IFRNet, case: Case, monkeypatch: pytest.MonkeyPatch) -> NDArray[np.float32]:
    """The network with sampling positions that went through half precision, as a careless cast makes them."""
    from torch.nn import functional

    sample = functional.grid_sample

    def careless(img: torch.Tensor, grid: torch.Tensor, **options: object) -> torch.Tensor:
        return sample(img, grid.half().float(), **options)  # type: ignore[arg-type]

    monkeypatch.setattr(functional, "grid_sample", careless)
    inputs = (torch.from_numpy(case.img0), torch.from_numpy(case.img1), torch.full((1, 1, 1, 1), case.t))
    with torch.inference_mode():
        return np.asarray(interpolate(model, *inputs).numpy())


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_sampling_positions_in_half_precision(
    model: IFRNet, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 1920 px half a unit of the last place of a normalised grid is half a pixel."""
    size = Size(1920, 64)
    reference = Reference(model, Timesteps.MIDDLE, 1.0)
    data = Proofs(reference).make(SizeRange.static(size), TOLERANCES[precision], precision, ())
    (found,) = read_proof(data, SizeRange.static(size))
    (case,) = reference.cases(size)
    assert compare_with(found.answers[0], found.block, case.expected).trouble == ""
    output = half_positions(model, case, monkeypatch)
    assert np.abs(output - case.expected).max() > 1e-3
    assert compare_with(found.answers[0], found.block, output).trouble


def test_the_proof_in_an_artifact_is_the_one_of_its_precision(artifact: Callable[..., Path]) -> None:
    sizes = SizeRange.static(Size(160, 96))
    (case,) = read_proof((artifact("onnx") / "proof.dat").read_bytes(), sizes)
    assert case.answers[0].limits.psnr == FP32_TOLERANCE.psnr
    (case,) = read_proof((artifact("onnx", precision=Precision.FP16) / "proof.dat").read_bytes(), sizes)
    assert case.answers[0].limits.psnr == FP16_TOLERANCE.psnr
