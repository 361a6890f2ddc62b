"""What every artifact promises and every backend keeps: names, layout, range, sizes, time steps.

``img0`` and ``img1`` are float32 NCHW RGB in [0, 1] at the frame's true size, ``t`` is float32 (1, 1, 1, 1) in
(0, 1), the output ``imgt`` is float32 NCHW RGB in [0, 1] of the same size. The pair's mean, padding to the
multiple that the network needs, and the final crop are inside the graph.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from enum import StrEnum

from runtimes.errors import FrameError, TimestepError, UsageError

INPUT_NAMES = ("img0", "img1", "t")
OUTPUT_NAME = "imgt"
MAX_SIDE = 16384
"""Longest side accepted anywhere: 16K video. Larger sizes are refused before memory is asked for."""


class Precision(StrEnum):
    """The arithmetic of the convolutions; flow, warps and blending are float32 in all of them."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"


class Timesteps(StrEnum):
    """The times between two frames that a checkpoint serves."""

    ANY = "any"
    """Any t in (0, 1), as the GoPro checkpoints."""

    MIDDLE = "0.5"
    """t = 0.5 only, as the Vimeo90K checkpoints: they ignore t and give the middle frame for every value."""

    def check(self, t: float) -> float:
        """Return ``t`` if this checkpoint serves it.

        Raises:
            TimestepError: t is outside (0, 1), or not 0.5 on a checkpoint that always gives the middle frame.
        """
        if not (0.0 < t < 1.0 and 0.0 < _float32(t) < 1.0):  # the network gets float32, in which 1 - 1e-9 is 1
            raise TimestepError(f"t is {t}; expected 0 < t < 1 in float32 (0 and 1 are the frames themselves)")
        if self is Timesteps.MIDDLE and t != 0.5:
            raise TimestepError(
                f"t is {t}, but this checkpoint was trained at t = 0.5 only and would return the middle frame: "
                "halve recursively (0.5, then 0.25 and 0.75 from the results) or use a checkpoint for any t"
            )
        return t


def _float32(value: float) -> float:
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


class Verdict(StrEnum):
    """Outcome of comparing an artifact with its PyTorch reference on one device."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"

    CHECKED = "file checked"
    """No device ran it: the saved file was read back and computed from the published meaning of its operations. That
    catches a wrong file, and says nothing of the device."""

    EMULATED = "passed (emulated)"
    """The maker's own emulation of the device ran it on another processor, and it passed there. That catches a wrong
    file and a wrong compiler, and says nothing of the silicon and its driver."""


@dataclass(frozen=True, order=True)
class Size:
    """A frame size in pixels, written ``WIDTHxHEIGHT``."""

    width: int
    height: int

    def __post_init__(self) -> None:
        for name, side in (("width", self.width), ("height", self.height)):
            if not 1 <= side <= MAX_SIDE:
                raise UsageError(f"{name} is {side}; expected 1 to {MAX_SIDE} pixels")

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @classmethod
    def parse(cls, text: str) -> Size:
        """Read ``1280x720``.

        Raises:
            UsageError: another form, or sides outside 1..16384.
        """
        match = re.fullmatch(r"(-?[0-9]{1,9})[xX](-?[0-9]{1,9})", text.strip())
        if match is None:
            raise UsageError(f"size is {text!r}; expected WIDTHxHEIGHT, for example 1280x720")
        return cls(int(match[1]), int(match[2]))


@dataclass(frozen=True, kw_only=True)
class SizeRange:
    """The sizes an artifact takes; ``minimum == maximum`` for a static one."""

    minimum: Size
    typical: Size
    maximum: Size

    def __post_init__(self) -> None:
        for side in ("width", "height"):
            low, mid, high = (getattr(size, side) for size in (self.minimum, self.typical, self.maximum))
            if not low <= mid <= high:
                raise UsageError(f"{side}s are {low}, {mid}, {high}; expected minimum <= typical <= maximum")

    @classmethod
    def static(cls, size: Size) -> SizeRange:
        """Exactly one size."""
        return cls(minimum=size, typical=size, maximum=size)

    @property
    def is_static(self) -> bool:
        """Whether exactly one size is taken."""
        return self.minimum == self.maximum

    def __str__(self) -> str:
        return str(self.typical) if self.is_static else f"{self.minimum} to {self.maximum}"

    def holds(self, size: Size) -> bool:
        """Whether frames of a size are taken."""
        low, high = self.minimum, self.maximum
        return low.width <= size.width <= high.width and low.height <= size.height <= high.height

    def check(self, size: Size) -> None:
        """Refuse frames that the artifact was not built for.

        Raises:
            FrameError: the size is outside the range.
        """
        if not self.holds(size):
            raise FrameError(
                f"frames are {size}, the artifact takes {self}: export another with --size {size}, or with --dynamic"
            )
