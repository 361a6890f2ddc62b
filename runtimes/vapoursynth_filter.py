"""A VapourSynth filter over any artifact: a thin module, so that scripts stay scripts.

>>> from runtimes.vapoursynth_filter import interpolate  # doctest: +SKIP
>>> clip = interpolate(clip, "artifacts/ifrnet_s-openvino-fp32-1280x720", factor=2)  # doctest: +SKIP

VapourSynth is on PyPI for Python 3.12 and later; see ``examples/interpolate.vpy``.
"""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any

import numpy as np

import runtimes
from runtimes.contract import Size
from runtimes.errors import RuntimesError
from runtimes.frames import Array
from runtimes.video.interpolators import Meter, stepping
from runtimes.video.timeline import Timing, check_timing

_DTYPES = {8: np.uint8, 16: np.uint16}


def interpolate(
    clip: Any,
    artifact: str | os.PathLike[str],
    *,
    factor: int = 2,
    device: str | None = None,
    threads: int | None = None,
) -> Any:
    """A clip with ``factor`` times the frames and the frame rate. Originals pass through untouched.

    Where ``clip`` has the property ``_SceneChangeNext`` (misc.SCDetect sets it) frames are repeated and not blended.

    Args:
        clip: a ``vapoursynth.VideoNode`` of constant size in RGB24 or RGB48, which ``core.resize`` makes.
        artifact: folder of an artifact for that size.
        factor: 2 or more; a power of two with a t = 0.5 model.
        device, threads: see :func:`runtimes.load`.

    Raises:
        RuntimesError: another format, size or factor than the artifact takes.
    """
    import vapoursynth

    bits = clip.format.bits_per_sample if clip.format is not None else 0
    if clip.format is None or clip.format.color_family != vapoursynth.RGB or bits not in _DTYPES:
        name = clip.format.name if clip.format is not None else "variable"
        raise RuntimesError(
            f"the clip is {name}; expected RGB24 or RGB48: "
            "core.resize.Bicubic(clip, format=vs.RGB24, matrix_in_s='709') makes it"
        )
    runtime = runtimes.load(artifact, device=device, threads=threads)
    runtime.spec.sizes.check(Size(clip.width, clip.height))
    check_timing(Timing(factor=factor), runtime.spec.timesteps, None)
    work = stepping(Meter(runtime), runtime.spec.timesteps)
    core = vapoursynth.core
    left = core.std.Interleave([clip] * factor)  # Interleave multiplies the frame rate, too
    following = clip[1:] + clip[-1] if clip.num_frames > 1 else clip
    right = core.std.Interleave([following] * factor)

    def select(n: int, f: list[Any]) -> Any:
        step = Fraction(n % factor, factor)
        if step == 0 or n // factor == clip.num_frames - 1:
            return f[0]
        if f[0].props.get("_SceneChangeNext", 0):
            return f[0] if step < Fraction(1, 2) else f[1]
        made = f[0].copy()
        write_planes(made, work(read_planes(f[0]), read_planes(f[1]), [step])[0])
        return made

    return core.std.ModifyFrame(left, clips=[left, right], selector=select)


def read_planes(frame: Any) -> Array:
    """A VapourSynth RGB frame, whose planes are (H, W) arrays -> (H, W, 3)."""
    return np.stack([np.asarray(frame[plane]) for plane in range(3)], axis=2)


def write_planes(frame: Any, rgb: Array) -> None:
    """(H, W, 3) -> the planes of a writable VapourSynth RGB frame."""
    for plane in range(3):
        np.copyto(np.asarray(frame[plane]), rgb[..., plane])
