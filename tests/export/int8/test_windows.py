"""Parts of held-aside frames: where they lie, and that the gate judges all of them together."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from export.int8 import gate
from export.int8.gate import QualityGate
from export.int8.windows import resized_middle, windows
from ifrnet import interpolate, load_model
from runtimes.contract import Size, SizeRange
from tests.calibration.moving import panning

PIXELS: Any = np.arange(720 * 1280).reshape(720, 1280, 1)
"""A frame in which every pixel has a number of its own."""


@pytest.mark.parametrize(
    ("size", "count"),
    [("160x96", 24), ("320x180", 16), ("640x360", 4), ("480x270", 4), ("96x400", 6), ("800x600", 1), ("1280x720", 1)],
)
def test_windows_are_apart_and_spread_over_the_frame(size: str, count: int) -> None:
    wanted = Size.parse(size)
    found = windows(PIXELS, wanted)
    assert [part.shape for part in found] == [(wanted.height, wanted.width, 1)] * count
    numbers = np.concatenate([part.ravel() for part in found])
    assert len(np.unique(numbers)) == len(numbers)
    rows, columns = numbers // 1280, numbers % 1280
    assert rows.min() + rows.max() == pytest.approx(719, abs=2)
    assert columns.min() + columns.max() == pytest.approx(1279, abs=2)


@pytest.mark.parametrize("size", [Size(1920, 1080), Size(720, 1280)])
def test_frames_that_are_smaller_are_enlarged(size: Size) -> None:
    frame = np.zeros((720, 1280, 3), np.uint8)
    frame[:, 640:] = 200
    found = windows(frame, size)[0]
    assert found.shape == (size.height, size.width, 3)
    middle = resized_middle(frame, size)
    assert middle[:, : size.width // 2 - 8].max() == 0
    assert middle[:, size.width // 2 + 8 :].min() == 200


def test_the_middle() -> None:
    part = resized_middle(PIXELS, Size(161, 97))
    assert part[0, 0, 0] == 311 * 1280 + 559
    assert part[-1, -1, 0] == (311 + 96) * 1280 + 559 + 160


class OneBadWindow:
    """PyTorch, which is off by ``error`` in the first window that it is given."""

    def __init__(self, sizes: SizeRange, error: float) -> None:
        self.spec = SimpleNamespace(sizes=sizes)
        self.error, self.model = error, load_model("ifrnet_s")
        self.seen: list[tuple[int, ...]] = []

    def infer(
        self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        error, self.error = self.error, 0.0
        self.seen.append(img0.shape)
        with torch.inference_mode():
            output = interpolate(self.model, torch.from_numpy(img0), torch.from_numpy(img1), torch.from_numpy(t))
        return np.asarray(output.numpy() + np.float32(error))


def test_one_bad_window_is_judged_with_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    size = Size(96, 64)
    triplet = tuple(panning(3, size=(128, 192)))
    monkeypatch.setattr(gate, "held_aside", lambda: [triplet])
    judge = QualityGate(load_model("ifrnet_s"), 1.0, 0.1)
    runtime: Any = OneBadWindow(SizeRange.static(size), 0.0)
    good = judge.judge(runtime)
    assert good.samples == 1
    assert good.drop == 0.0
    assert good.passed
    runtime.error = 0.2
    bad = judge.judge(runtime)
    assert bad.int8_vs_fp32 == pytest.approx(-10 * np.log10(0.2**2 / 4), abs=0.01)  # one of four windows
    assert bad.drop > 0.1
    assert not bad.passed


def test_whole_frames_are_judged_where_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = (tuple(panning(3, size=size)) for size in [(64, 96), (112, 160)])
    monkeypatch.setattr(gate, "held_aside", lambda: [small, large])
    judge = QualityGate(load_model("ifrnet_s"), 1.0, 0.1)
    runtime: Any = OneBadWindow(SizeRange(minimum=Size(32, 32), typical=Size(48, 48), maximum=Size(128, 96)), 0.0)
    assert judge.judge(runtime).samples == 2
    assert runtime.seen == [(1, 3, 64, 96)] + [(1, 3, 48, 48)] * 6  # the large one in windows of the typical size
