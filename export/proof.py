"""The proof that goes into an artifact: PyTorch's answers, as patches and block means; see :mod:`runtimes.proof`.

Patches are drawn where rounding moves the network most, for that is where any difference shows. The chance of a patch
is in proportion to the error of PyTorch with its convolutions rounded to bfloat16 (:data:`SENSITIVE` of it; the rest is
spread evenly), and the patch stands for one over that chance. So the mean squared error of the whole frame is estimated
without bias from the few pixels that are kept (Horvitz and Thompson, 1952; systematic sampling).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from export.declarations import Tolerance
from export.verify import FLOOR, MARGIN, MARGIN_OF_PIXELS, ROUNDINGS, Case, Reference, verification_sizes
from runtimes import proof
from runtimes.artifact import DeviceParity
from runtimes.compare import compare
from runtimes.contract import Precision, Size, SizeRange, Verdict
from runtimes.proof import PATCH, Answer, Limits, block_means, block_side, cut_patches, write_proof

PATCHES = 1792
"""Of all answers together: 200 bytes each, 358 kB."""

SENSITIVE = 0.7
"""Share of the patches that follows the sensitivity."""


class Proofs:
    """Makes the proofs of one run; what does not depend on the precision is made once.

    Args:
        reference: PyTorch's outputs.
    """

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._answers: dict[tuple[Size, float, int], Answer] = {}

    def make(
        self, sizes: SizeRange, tolerance: Tolerance, precision: Precision, parity: Sequence[DeviceParity]
    ) -> bytes:
        """The proof of an artifact.

        Args:
            sizes: that it takes.
            tolerance: of its target and precision.
            precision: what it was built for.
            parity: the verdicts of the full-frame gate; where one excused an error by the sensitivity of the weights,
                the limits of the proof are as wide.
        """
        groups = [self._reference.cases(size) for size in verification_sizes(sizes)]
        count = PATCHES // sum(len(cases) for cases in groups)
        return write_proof([self._case(cases, count, tolerance, precision, parity) for cases in groups])

    def _case(
        self,
        cases: Sequence[Case],
        count: int,
        tolerance: Tolerance,
        precision: Precision,
        parity: Sequence[DeviceParity],
    ) -> proof.Case:
        answers = []
        for case in cases:
            limits = self._limits(case, tolerance, precision, parity)
            answers.append(replace(self._answer(case, count), limits=limits))
        scene = cases[0].scene
        first, last = (hashlib.sha256(frame.tobytes()).hexdigest() for frame in scene.frames())
        return proof.Case(
            scene=scene, block=block_side(scene.size), frames_sha256=(first, last), answers=tuple(answers)
        )

    def _answer(self, case: Case, count: int) -> Answer:
        """The answer for a case, with limits that nothing meets."""
        key = (case.size, case.t, count)
        if key not in self._answers:
            rounded = self._reference.rounded(case, torch.bfloat16)
            corners, weights = choose_patches(sensitivity(rounded, case.expected), count)
            self._answers[key] = Answer(
                t=case.t,
                limits=Limits(max_error=0.0, psnr=0.0, block_error=0.0),
                corners=corners,
                weights=weights,
                patches=cut_patches(case.expected[0], corners),
                blocks=block_means(case.expected[0], block_side(case.size)).astype(np.float32),
            )
        return self._answers[key]

    def _limits(self, case: Case, tolerance: Tolerance, precision: Precision, parity: Sequence[DeviceParity]) -> Limits:
        """The tolerance, or what the gate granted instead of it."""
        limits = Limits(
            max_error=tolerance.max_error, psnr=tolerance.psnr, block_error=self._block_limit(case, tolerance)
        )
        dtype = ROUNDINGS.get(precision)
        excused = any(
            result.max_error > tolerance.max_error or result.psnr < tolerance.psnr
            for record in parity
            if record.verdict in (Verdict.PASSED, Verdict.CHECKED, Verdict.EMULATED)
            for result in record.results
            if (result.size, result.t) == (case.size, case.t)
        )
        if not excused or dtype is None:
            return limits
        own = compare(self._reference.rounded(case, dtype), case.expected)
        floor = tolerance.psnr if precision is Precision.FP32 else FLOOR
        return replace(
            limits,
            max_error=max(limits.max_error, MARGIN_OF_PIXELS * own.max_error),
            psnr=min(limits.psnr, max(floor, own.psnr - MARGIN)),
        )

    def _block_limit(self, case: Case, tolerance: Tolerance) -> float:
        """See :class:`export.declarations.Tolerance`."""
        rounded, side = self._reference.rounded(case, torch.bfloat16), block_side(case.size)
        moved = np.abs(block_means(rounded[0], side) - block_means(case.expected[0], side)).max()
        return min(1.0, max(tolerance.block_error, tolerance.block_roundings * float(moved)))


def sensitivity(rounded: NDArray[np.float32], expected: NDArray[np.float32]) -> NDArray[np.float64]:
    """Squared error of each patch, (1, 3, H, W) twice -> (ceil(H / 4), ceil(W / 4))."""
    energy = ((rounded[0].astype(np.float64) - expected[0]) ** 2).sum(axis=0)
    energy = np.pad(energy, [(0, -side % PATCH) for side in energy.shape])
    rows, columns = (side // PATCH for side in energy.shape)
    summed: NDArray[np.float64] = energy.reshape(rows, PATCH, columns, PATCH).sum(axis=(1, 3))
    return summed


def choose_patches(energy: NDArray[np.float64], count: int) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Which patches to keep, and for how many of the frame each one stands.

    Args:
        energy: see :func:`sensitivity`.
        count: how many to keep; all where there are no more.

    Returns:
        Corners (N, 2) as x and y in pixels, and weights (N,).
    """
    chances = inclusion(energy.ravel(), count)
    # Systematic sampling: one pointer for each whole number, half a step in, over the running sum of the chances.
    edges = np.cumsum(chances)
    picks = np.unique(np.searchsorted(edges, np.arange(0.5, edges[-1], 1.0)))
    y, x = np.divmod(picks, energy.shape[1])
    corners = (PATCH * np.column_stack((x, y))).astype(np.uint16)
    return corners, (1.0 / chances[picks]).astype(np.float32)


def inclusion(energy: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Chance of each patch to be kept: at most 1, ``count`` in sum."""
    total = energy.size
    if count >= total:
        return np.ones(total)
    share = np.full(total, 1.0 / total)
    if energy.sum() > 0.0:
        share = SENSITIVE * energy / energy.sum() + (1.0 - SENSITIVE) * share
    certain = np.zeros(total, bool)
    while True:
        left = count - int(certain.sum())
        chances = np.where(certain, 1.0, left * share / share[~certain].sum())
        above = (chances > 1.0) & ~certain
        if not above.any():
            return chances
        certain |= above
