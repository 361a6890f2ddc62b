"""The table of the NPU's arithmetics, at a tiny size on frames of a known motion."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.__main__ import PROGRAM, main
from benchmarks.accuracy import npu
from export.qnn_plan import Form
from runtimes.cli import run
from tests.benchmarks.accuracy.conftest import pan


@pytest.fixture
def pans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Footage of its own: two pairs."""

    def footage(size: object, per_clip: int, cache: object) -> Iterator[tuple[np.ndarray, ...]]:
        frames = pan(0, 7, 2)
        yield from ((frames[i], frames[i + 1], frames[i + 2]) for i in (0, 4))

    monkeypatch.setattr(npu, "footage", footage)


@pytest.mark.usefixtures("pans")
def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    height, width = pan(0, 1, 2)[0].shape[:2]
    given = ["npu", "--size", f"{width}x{height}"]
    assert run(PROGRAM, main, given) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "\n".join(lines[:2]) == npu.HEADING
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [row[1] for row in cells] == [str(form) for form in Form]
    to_fp32 = {row[1]: float(row[5]) for row in cells}
    assert to_fp32["w8a8"] < to_fp32["mixed"] < to_fp32["w8a16"]
    assert to_fp32["w8a8"] < 35.0
    assert 55.0 < to_fp32["fp16 + int16"] < 90.0  # results in half precision are rounded
    assert 50.0 < to_fp32["fp16"] < 90.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--form", "fp8"), "--form fp8: there are fp16, fp16 + int16, w8a16, mixed, w8a8"),
        (("--per-clip", "0"), "--per-clip 0: expected at least 1"),
    ],
)
def test_one_line_says_why(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PROGRAM, main, ["npu", *arguments]) == 1
    assert message in capsys.readouterr().err
