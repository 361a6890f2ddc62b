"""The same command twice gives the same bytes: in another process, with another hash seed, folder and day."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from export.targets import TARGETS, target
from runtimes.contract import Precision
from tests.export.conftest import Demonstration, run_elsewhere


@pytest.mark.parametrize("name", TARGETS)
def test_the_same_bytes_twice(name: str, demonstration: Demonstration, artifact: Callable[..., Path]) -> None:
    """Alone here, and all targets at once as a user would build them."""
    if reason := target(name).missing() or target(name).LACKING.get(Precision.FP32, ""):
        pytest.skip(reason)
    assert_same(artifact(name), demonstration.out / "artifacts" / artifact(name).name)


def test_the_same_int8_of_ncnn_twice(artifact: Callable[..., Path], tmp_path: Path) -> None:
    """Its files are written here, not by a tool."""
    first = artifact("ncnn", model="ifrnet_s", precision=Precision.INT8)
    run_elsewhere("export", "--target", "ncnn", "--int8", "--size", "160x96", "--out", str(tmp_path))
    assert_same(first, tmp_path / first.name)


def assert_same(first: Path, again: Path) -> None:
    for path in sorted(first.rglob("*")):
        name = path.relative_to(first)
        if path.is_file() and str(name) != "manifest.json":
            assert path.read_bytes() == (again / name).read_bytes(), name
    ours, theirs = (json.loads((folder / "manifest.json").read_text()) for folder in (first, again))
    assert set(ours) == set(theirs)
    for device, figures in ours["details"].pop("quality", {}).items():
        # Measured, and rounded to 0.001 dB: beside other tests the same files had 50.357 and 50.356 dB to fp32.
        assert figures == pytest.approx(theirs["details"]["quality"].pop(device), abs=0.0015)
    assert not theirs["details"].pop("quality", {}), "a device that only the second export measured"
    assert {key for key in ours if ours[key] != theirs[key]} <= {"created", "parity"}
