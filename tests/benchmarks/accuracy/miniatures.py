"""Miniature copies of each published folder structure, cut out of real frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.accuracy.public_datasets import MODES

REAL = Path(__file__).parents[3] / "assets" / "bbb"


def real() -> list[NDArray[np.uint8]]:
    """Three consecutive frames of Big Buck Bunny."""
    names = ("frame0.png", "middle.png", "frame1.png")
    return [np.asarray(Image.open(REAL / name).convert("RGB")) for name in names]


def cut(width: int, height: int, at: int = 0) -> list[NDArray[np.uint8]]:
    return [frame[100 + at : 100 + at + height, 200 + at : 200 + at + width] for frame in real()]


def save(path: Path, frame: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(frame).save(path)


def vimeo90k(root: Path) -> Path:
    names = ["00001/0001", "00001/0389", "00096/0123"]
    for number, name in enumerate(names):
        for file, frame in zip(("im1.png", "im2.png", "im3.png"), cut(64, 48, 8 * number), strict=True):
            save(root / "sequences" / name / file, frame)
    (root / "tri_testlist.txt").write_text("\n".join(names) + "\n\n")
    return root


def ucf101(root: Path) -> Path:
    for name in ("1", "11", "141"):
        for file, frame in zip(("frame_00.png", "frame_01_gt.png", "frame_02.png"), cut(48, 48), strict=True):
            save(root / name / file, frame)
    return root


def snu_film(root: Path) -> Path:
    for mode in MODES:
        paths = [f"test/GOPRO_test/{mode}/{number:06}.png" for number in (1, 9, 17)]
        for path, frame in zip(paths, cut(70, 50), strict=True):
            save(root / path, frame)
        prefix = "data/SNU-FILM/" if mode == "easy" else ""
        (root / f"test-{mode}.txt").write_text(" ".join(prefix + path for path in paths) + "\n")
    return root


def middlebury(root: Path) -> Path:
    for name, width, height in (("Beanbags", 64, 48), ("Dimetrodon", 58, 38)):
        before, truth, after = cut(width, height)
        save(root / "other-data" / name / "frame10.png", before)
        save(root / "other-data" / name / "frame11.png", after)
        save(root / "other-gt-interp" / name / "frame10i11.png", truth)
    return root


def multiframe(root: Path) -> Path:
    """Two videos: 18 frames give two windows, 9 give one; real texture that pans."""
    frame = real()[0]
    for name, count in (("GOPR0384_11_00", 18), ("GOPR0385_11_01", 9)):
        for number in range(count):
            save(root / "test" / name / f"{number:06}.png", frame[60:108, 2 * number : 2 * number + 64])
    return root


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "vimeo90k": vimeo90k,
    "ucf101": ucf101,
    "snu_film": snu_film,
    "middlebury": middlebury,
    "gopro": multiframe,
    "adobe240": multiframe,
}
