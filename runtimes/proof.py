"""The proof in an artifact: frames that any machine can render, and what PyTorch made of them.

The frames follow from whole numbers (:mod:`runtimes.scene`). The answers are kept as small patches, more of them where
the network is sensitive, and as means of blocks over the whole frame, so that an error anywhere shows. The format is in
``docs/proof.md``; this module reads it, writes it, and holds a loaded artifact against it with numpy alone.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.contract import Size, SizeRange, Timesteps
from runtimes.errors import ArtifactError, RuntimesError
from runtimes.frames import to_tensor
from runtimes.json_text import as_list, as_number, as_text, as_whole, parse_json
from runtimes.printable import MAX_REASON, one_line
from runtimes.scene import Scene

FILE = "proof.dat"
MAGIC = b"IFRPROOF"
FORMAT = 1
MAX_BYTES = 2**20
MAX_CASES, MAX_STEPS = 4, 8

PATCH = 4
"""Side of a patch in pixels. Patches lie on a grid of this step; what lies beyond the frame is 0 and does not count."""

BLOCK = 32
"""Least side of the blocks whose means are kept; those at the right and at the bottom may be smaller."""

MAX_BLOCKS = 8192
"""Of a frame; larger frames than 4K have larger blocks."""

_HEAD = struct.Struct("<8sII")

Infer = Callable[[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""(1, 3, H, W) twice and (T, 1, 1, 1) -> (T, 3, H, W)."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How far an output may be from the answer, on the scale [0, 1] and in dB.

    Attributes:
        max_error: of a single value.
        psnr: over the frame.
        block_error: of the mean of a block.
    """

    max_error: float
    psnr: float
    block_error: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What PyTorch gave for one time step.

    Attributes:
        t: the time step.
        limits: of the artifact's precision.
        corners: (N, 2) uint16, x and y of each patch.
        weights: (N,) float32, for how many patches of the frame each one stands.
        patches: (N, 4, 4, 3) float32: rows, columns, RGB.
        blocks: (ceil(H / block), ceil(W / block), 3) float32, means.
    """

    t: float
    limits: Limits
    corners: NDArray[np.uint16]
    weights: NDArray[np.float32]
    patches: NDArray[np.float32]
    blocks: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One scene with its answers, and the sha256 of both frames as (H, W, 3) RGB bytes; ``block`` in pixels."""

    scene: Scene
    block: int
    frames_sha256: tuple[str, str]
    answers: tuple[Answer, ...]

    def frames(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Both frames as the network takes them, (1, 3, H, W).

        Raises:
            ArtifactError: this machine rendered other frames than the proof was made with.
        """
        frames = self.scene.frames()
        for frame, expected in zip(frames, self.frames_sha256, strict=True):
            if hashlib.sha256(frame.tobytes()).hexdigest() != expected:
                raise ArtifactError(
                    f"the frames of the proof at {self.scene.size} came out with another sha256 than it states: the "
                    f"file was changed, or whole numbers go wrong here; export the artifact again"
                )
        return to_tensor(frames[0]), to_tensor(frames[1])


@dataclass(frozen=True, kw_only=True)
class ProofResult:
    """One output held against its answer.

    Attributes:
        size, t: of the output.
        together: whether it was asked for with others of its pair, which are encoded once.
        max_error, psnr, block_error: see :class:`Limits`; the PSNR is estimated from the patches.
        trouble: which limits it breaks; empty when it keeps them.
    """

    size: Size
    t: float
    together: bool
    max_error: float
    psnr: float
    block_error: float
    trouble: str = ""


def block_side(size: Size) -> int:
    """Of the blocks for frames of a size, in pixels: 32, 64, 128, ..."""
    side = BLOCK
    while -(-size.height // side) * -(-size.width // side) > MAX_BLOCKS:
        side *= 2
    return side


def block_means(frame: NDArray[Any], side: int) -> NDArray[np.float64]:
    """(3, H, W) -> (ceil(H / side), ceil(W / side), 3)."""
    _, height, width = frame.shape
    tops, lefts = np.arange(0, height, side), np.arange(0, width, side)
    rows = np.add.reduceat(frame, tops, axis=1, dtype=np.float64)
    sums = np.add.reduceat(rows, lefts, axis=2)  # (3, rows, columns)
    counts = np.outer(np.minimum(side, height - tops), np.minimum(side, width - lefts))
    return np.ascontiguousarray((sums / counts).transpose(1, 2, 0))


def cut_patches(frame: NDArray[Any], corners: NDArray[np.uint16]) -> NDArray[np.float32]:
    """(3, H, W) -> (N, 4, 4, 3), zeros beyond the frame."""
    _, height, width = frame.shape
    padded = np.pad(frame, ((0, 0), (0, -height % PATCH), (0, -width % PATCH)))
    rows = corners[:, 1, None].astype(np.intp) + np.arange(PATCH)  # (N, 4)
    columns = corners[:, 0, None].astype(np.intp) + np.arange(PATCH)
    found = padded[:, rows[:, :, None], columns[:, None, :]]  # (3, N, 4, 4)
    return np.ascontiguousarray(found.transpose(1, 2, 3, 0), dtype=np.float32)


def compare_with(answer: Answer, block: int, output: NDArray[np.float32], *, together: bool = False) -> ProofResult:
    """Hold one output (1, 3, H, W) against its answer. Values that are not finite break every limit.

    Args:
        answer: what PyTorch gave.
        block: side of its blocks in pixels.
        output: of the artifact.
        together: see :class:`ProofResult`.
    """
    frame = output[0]
    _, height, width = frame.shape
    difference = np.abs(cut_patches(frame, answer.corners).astype(np.float64) - answer.patches)
    energy = float((answer.weights * (difference**2).sum(axis=(1, 2, 3))).sum()) / (3 * height * width)
    errors = {
        "max_error": float(difference.max()),
        "psnr": math.inf if energy == 0.0 else -10.0 * math.log10(energy) if math.isfinite(energy) else -math.inf,
        "block_error": float(np.abs(block_means(frame, block) - answer.blocks).max()),
    }
    if not all(math.isfinite(errors[key]) for key in ("max_error", "block_error")):
        errors = {"max_error": math.inf, "psnr": -math.inf, "block_error": math.inf}
    size = Size(width, height)
    trouble = _trouble(errors, answer.limits)
    return ProofResult(size=size, t=answer.t, together=together, **errors, trouble=trouble)


def _trouble(errors: Mapping[str, float], limits: Limits) -> str:
    parts = []
    if errors["max_error"] > limits.max_error:
        parts.append(f"max error {errors['max_error']:.2g} (limit {limits.max_error:g})")
    if errors["psnr"] < limits.psnr:
        parts.append(f"PSNR {errors['psnr']:.1f} dB (limit {limits.psnr:g})")
    if errors["block_error"] > limits.block_error:
        parts.append(f"mean of a block off by {errors['block_error']:.2g} (limit {limits.block_error:g})")
    return ", ".join(parts)


def write_proof(cases: Sequence[Case]) -> bytes:
    """The proof as bytes: head, JSON header, arrays; see ``docs/proof.md``."""
    header = {
        "patch": PATCH,
        "cases": [
            {
                "scene": case.scene.to_json(),
                "block": case.block,
                "frames_sha256": list(case.frames_sha256),
                "answers": [
                    {"t": answer.t, "patches": len(answer.corners), "limits": asdict(answer.limits)}
                    for answer in case.answers
                ],
            }
            for case in cases
        ],
    }
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    parts = [_HEAD.pack(MAGIC, FORMAT, len(text)), text]
    for case in cases:
        for answer in case.answers:
            parts.append(answer.corners.astype("<u2").tobytes())
            parts += [array.astype("<f4").tobytes() for array in (answer.weights, answer.patches, answer.blocks)]
    return b"".join(parts)


def read_proof(data: bytes, sizes: SizeRange) -> tuple[Case, ...]:
    """Read and check a proof.

    Args:
        data: the file.
        sizes: that the artifact takes; a scene of another one is refused before memory is asked for.

    Raises:
        ArtifactError: it is truncated, of another format, or not what it says it is.
    """
    if len(data) > MAX_BYTES or len(data) < _HEAD.size:
        raise ArtifactError(f"{FILE} has {len(data)} bytes; expected {_HEAD.size} to {MAX_BYTES}: export again")
    magic, version, length = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise ArtifactError(f"{FILE} does not begin like a proof: export the artifact again")
    if version != FORMAT:
        raise ArtifactError(
            f"{FILE} is of format {version}, this version reads {FORMAT}: update ifrnet or export again"
        )
    try:
        if length % 4:
            raise ValueError(f"its header has {length} bytes; expected a multiple of 4")
        header = parse_json(data[_HEAD.size : _HEAD.size + length].decode("utf-8"), finite=True)
        as_whole(header["patch"], PATCH, PATCH)
        if not 1 <= len(as_list(header["cases"])) <= MAX_CASES:
            raise ValueError(f"{len(header['cases'])} cases; expected 1 to {MAX_CASES}")
        reader = _Reader(data, _HEAD.size + length)
        cases = tuple(_read_case(case, reader, sizes) for case in header["cases"])
        reader.finish()
        return cases
    except RuntimesError as error:
        reason = one_line(error, MAX_REASON)
        raise ArtifactError(f"{FILE} does not fit the artifact: {reason}; export it again") from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        raise ArtifactError(
            f"{FILE} is damaged ({type(error).__name__}: {one_line(error, MAX_REASON)}): export the artifact again"
        ) from error


class _Reader:
    """Takes arrays off the rest of a file; never more than there is."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data, self._at = data, start

    def take(self, kind: str, *shape: int) -> NDArray[Any]:
        count = math.prod(shape)
        size = count * np.dtype(kind).itemsize
        if self._at + size > len(self._data):
            raise ValueError(f"it ends at byte {len(self._data)}, {self._at + size} are needed")
        found = np.frombuffer(self._data, kind, count, self._at).reshape(shape)
        self._at += size
        return found

    def finish(self) -> None:
        if self._at != len(self._data):
            raise ValueError(f"{len(self._data) - self._at} bytes follow the last array")


def _read_case(data: Any, reader: _Reader, sizes: SizeRange) -> Case:
    scene = Scene.from_json(data["scene"])
    sizes.check(scene.size)
    digests, stated = [as_text(digest) for digest in as_list(data["frames_sha256"])], as_list(data["answers"])
    if len(digests) != 2 or not 1 <= len(stated) <= MAX_STEPS:
        raise ValueError(f"{len(digests)} frames and {len(stated)} answers")
    side = block_side(scene.size)
    block = as_whole(data["block"], side, side)
    answers = tuple(_read_answer(answer, reader, scene.size, block) for answer in stated)
    return Case(scene=scene, block=block, frames_sha256=(digests[0], digests[1]), answers=answers)


def _read_answer(data: Any, reader: _Reader, size: Size, block: int) -> Answer:
    count = as_whole(data["patches"], 1, MAX_BYTES // (PATCH * PATCH * 12))
    corners = reader.take("<u2", count, 2)
    weights = reader.take("<f4", count)
    patches = reader.take("<f4", count, PATCH, PATCH, 3)
    blocks = reader.take("<f4", -(-size.height // block), -(-size.width // block), 3)
    if int(corners[:, 0].max()) >= size.width or int(corners[:, 1].max()) >= size.height or (corners % PATCH).any():
        raise ValueError("a patch lies beyond the frame or off the grid")
    if not all(np.isfinite(array).all() for array in (weights, patches, blocks)) or (weights <= 0.0).any():
        raise ValueError("a value is not finite, or a weight not positive")
    numbers = {key: as_number(data["limits"][key]) for key in ("max_error", "psnr", "block_error")}
    t = Timesteps.ANY.check(as_number(data["t"]))
    return Answer(t=t, limits=Limits(**numbers), corners=corners, weights=weights, patches=patches, blocks=blocks)


def run_proof(infer: Infer, cases: Sequence[Case]) -> Iterator[ProofResult]:
    """Ask for each time step alone, and then for all of a pair at once.

    Args:
        infer: as :meth:`runtimes.Runtime.infer`.
        cases: see :func:`read_proof`.
    """
    for case in cases:
        img0, img1 = case.frames()
        steps = np.array([answer.t for answer in case.answers], np.float32).reshape(-1, 1, 1, 1)
        for i, answer in enumerate(case.answers):
            yield compare_with(answer, case.block, infer(img0, img1, steps[i : i + 1]))
        if len(steps) > 1:
            outputs = infer(img0, img1, steps)
            for i, answer in enumerate(case.answers):
                yield compare_with(answer, case.block, outputs[i : i + 1], together=True)
