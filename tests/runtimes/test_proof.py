"""The proof file: what comes back, what is refused, and what an output has to be to keep its limits."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from runtimes.contract import MAX_SIDE, Size, SizeRange
from runtimes.errors import ArtifactError
from runtimes.proof import (
    MAX_BYTES,
    Answer,
    Case,
    Limits,
    block_means,
    block_side,
    compare_with,
    cut_patches,
    read_proof,
    run_proof,
    write_proof,
)
from runtimes.scene import Scene
from tests.runtimes import refused_files

SIZE = Size(90, 70)
SIZES = SizeRange.static(SIZE)
LIMITS = Limits(max_error=2e-4, psnr=80.0, block_error=2e-5)


def blend(img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stands for the network: (1, 3, H, W) twice and (T, 1, 1, 1) -> (T, 3, H, W)."""
    return np.asarray((1 - t) * img0 + t * img1, np.float32)


def make_case(size: Size = SIZE, limits: Limits = LIMITS, steps: Sequence[float] = (0.25, 0.5)) -> Case:
    """A case whose answers are those of ``blend``, every patch kept."""
    scene = Scene.of(size)
    first, last = (hashlib.sha256(frame.tobytes()).hexdigest() for frame in scene.frames())
    case = Case(scene=scene, block=block_side(size), frames_sha256=(first, last), answers=())
    y, x = np.mgrid[0 : size.height : 4, 0 : size.width : 4]
    corners = np.column_stack((x.ravel(), y.ravel())).astype(np.uint16)
    answers = []
    for t in steps:
        output = blend(*case.frames(), np.full((1, 1, 1, 1), t, np.float32))[0]
        answers.append(
            Answer(
                t=t,
                limits=limits,
                corners=corners,
                weights=np.ones(len(corners), np.float32),
                patches=cut_patches(output, corners),
                blocks=block_means(output, case.block).astype(np.float32),
            )
        )
    return replace(case, answers=tuple(answers))


@pytest.fixture(scope="module")
def case() -> Case:
    return make_case()


@pytest.fixture(scope="module")
def proof(case: Case) -> bytes:
    return write_proof([case])


def test_what_is_written_comes_back(case: Case, proof: bytes) -> None:
    (found,) = read_proof(proof, SIZES)
    assert (found.scene, found.frames_sha256, found.block) == (case.scene, case.frames_sha256, 32)
    for mine, theirs in zip(case.answers, found.answers, strict=True):
        assert (mine.t, mine.limits) == (theirs.t, theirs.limits)
        for name in ("corners", "weights", "patches", "blocks"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))


def test_each_time_alone_then_all_at_once(case: Case) -> None:
    asked: list[int] = []

    def infer(img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> NDArray[np.float32]:
        asked.append(len(t))
        return blend(img0, img1, t)

    results = list(run_proof(infer, [case]))
    assert asked == [1, 1, 2]
    assert [(r.t, r.together) for r in results] == [(0.25, False), (0.5, False), (0.25, True), (0.5, True)]
    assert all(r.size == SIZE and r.trouble == "" and r.psnr > 120.0 for r in results)


def test_one_time_is_asked_for_once() -> None:
    assert len(list(run_proof(blend, [make_case(steps=(0.5,))]))) == 1


def output_of(case: Case) -> NDArray[np.float32]:
    return blend(*case.frames(), np.full((1, 1, 1, 1), case.answers[0].t, np.float32))


def test_figures_are_those_of_the_frame_when_every_patch_is_kept(case: Case) -> None:
    noise = np.random.default_rng(0).normal(0.0, 1e-3, (1, 3, SIZE.height, SIZE.width)).astype(np.float32)
    found = compare_with(case.answers[0], case.block, output_of(case) + noise)
    assert found.max_error == pytest.approx(float(np.abs(noise).max()), rel=1e-3)
    assert found.psnr == pytest.approx(-10 * np.log10(np.mean(noise.astype(float) ** 2)), abs=0.01)
    assert found.block_error < 5e-4


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        (lambda x: x + np.float32(3e-4), "max error"),
        (lambda x: x + np.float32(1.5e-4), "PSNR"),
        (lambda x: x + np.float32(5e-5), "mean of a block"),
        (lambda x: np.roll(x, 1, axis=3), "max error"),
        (lambda x: np.where(np.arange(SIZE.width) == 40, np.float32(np.nan), x), "inf"),
        (lambda x: np.where(np.arange(SIZE.width) == 40, np.float32(np.inf), x), "inf"),
    ],
)
def test_what_breaks_a_limit(
    case: Case, change: Callable[[NDArray[np.float32]], NDArray[np.float32]], trouble: str
) -> None:
    assert trouble in compare_with(case.answers[0], case.block, change(output_of(case))).trouble


def test_an_error_between_the_patches_shows_in_the_blocks(case: Case) -> None:
    few = replace(case.answers[0], corners=case.answers[0].corners[:3], weights=case.answers[0].weights[:3])
    few = replace(few, patches=case.answers[0].patches[:3])
    output = output_of(case)
    output[0, 1, 50:54, 60:64] += 0.1
    assert compare_with(few, case.block, output).trouble.startswith("mean of a block off by")


def test_means_of_blocks_that_the_border_cuts() -> None:
    frame = np.random.default_rng(0).random((3, 70, 90))
    means = block_means(frame, 32)
    assert means.shape == (3, 3, 3)
    np.testing.assert_allclose(means[2, 2], frame[:, 64:, 64:].mean(axis=(1, 2)))
    np.testing.assert_allclose(means[0, 1], frame[:, :32, 32:64].mean(axis=(1, 2)))


@pytest.mark.parametrize("size", [Size(1, 1), Size(3840, 2160), Size(7680, 4320), Size(MAX_SIDE, MAX_SIDE)])
def test_the_means_of_two_times_stay_small(size: Size) -> None:
    side = block_side(size)
    assert 2 * 12 * -(-size.width // side) * -(-size.height // side) < 200_000


def test_a_frame_smaller_than_a_patch() -> None:
    small = make_case(Size(3, 2))
    found = read_proof(write_proof([small]), SizeRange.static(Size(3, 2)))
    assert [r.trouble for r in run_proof(blend, found)] == [""] * 4


def test_frames_that_came_out_otherwise(case: Case) -> None:
    with pytest.raises(ArtifactError, match="came out with another sha256"):
        replace(case, frames_sha256=("0" * 64, case.frames_sha256[1])).frames()


# ---- files that are not what they say ----------------------------------------------------------------------------


def refused(data: bytes, match: str, sizes: SizeRange = SIZES) -> None:
    with pytest.raises(ArtifactError, match=match) as caught:
        read_proof(data, sizes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.1, 0.5, 0.999])
def test_a_truncated_file(proof: bytes, share: float) -> None:
    refused(proof[: int(share * len(proof))], r"proof\.dat")


def test_bytes_behind_the_end(proof: bytes) -> None:
    refused(proof + b"\0", "1 bytes follow the last array")


def test_a_newer_format(proof: bytes) -> None:
    refused(proof[:8] + struct.pack("<I", 2) + proof[12:], "of format 2, this version reads 1: update ifrnet")


def test_another_file(proof: bytes) -> None:
    refused(b"PK" + proof[2:], "does not begin like a proof")


def test_a_file_that_is_too_large() -> None:
    refused(bytes(MAX_BYTES + 1), "expected 16 to 1048576")


def test_another_size_than_the_artifacts(proof: bytes) -> None:
    refused(proof, "frames are 90x70, the artifact takes 64x48", SizeRange.static(Size(64, 48)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"width":90', b'"width":91'),
        (b'"height":70', b'"height":7 '),
        (b'"block":32', b'"block":64'),
        (b'"patch":4', b'"patch":8'),
        (b'"t":0.25', b'"t":2.25'),
        (b'"t":0.25', b'"t":null'),
        (b'"patches":414', b'"patches":415'),
        (b'"patches":414', b'"patches":-41'),
        (b'"patches":414', b'"patches":9e9'),
        (b'"psnr":80.0', b'"psnr":NaN'),
        (b'"max_error"', b'"mox_error"'),
        (b'"cases":[', b'"cases":{'),
    ],
)
def test_a_header_that_lies(proof: bytes, old: bytes, new: bytes) -> None:
    assert old in proof
    refused(proof.replace(old, new.ljust(len(old)), 1), r"proof\.dat")


def test_a_header_that_is_longer_than_the_file(proof: bytes) -> None:
    refused(proof[:12] + struct.pack("<I", 2**31) + proof[16:], "damaged")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_answers_that_are_not_finite(case: Case, value: float) -> None:
    patches = case.answers[0].patches.copy()
    patches[3, 1, 2, 0] = value
    changed = replace(case, answers=(replace(case.answers[0], patches=patches),))
    refused(write_proof([changed]), "not finite")


@pytest.mark.parametrize("corner", [(92, 0), (0, 72), (2, 0), (65532, 0)])
def test_patches_that_lie_elsewhere(case: Case, corner: tuple[int, int]) -> None:
    corners = case.answers[0].corners.copy()
    corners[5] = corner
    changed = replace(case, answers=(replace(case.answers[0], corners=corners),))
    refused(write_proof([changed]), "beyond the frame or off the grid")


def test_flipped_bits_never_do_worse_than_a_refusal(proof: bytes) -> None:
    rng = np.random.default_rng(0)
    header = 16 + struct.unpack_from("<I", proof, 12)[0]
    for _ in range(300):
        data = bytearray(proof)
        for position in rng.integers(0, header, 3):
            data[position] ^= 1 << rng.integers(8)
        try:
            read_proof(bytes(data), SIZES)
        except ArtifactError:
            continue


def test_what_every_reader_refuses() -> None:
    data, sizes = write_proof([make_case(refused_files.SIZE)]), SizeRange.static(refused_files.SIZE)
    assert read_proof(data, sizes)
    for name, changed in refused_files.refused_proofs(data).items():
        with pytest.raises(ArtifactError, match=r"proof\.dat"):
            pytest.fail(f"{name}: {read_proof(changed, sizes)} was taken")
