"""Options of ncnn that an artifact states: which are taken, which refused, and that they reach the network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtimes import load
from runtimes.artifact import read_manifest
from runtimes.backends.ncnn import arithmetic
from runtimes.backends.ncnn_options import DETAIL, NAMES, options_of, stated_options
from runtimes.contract import Precision
from runtimes.errors import ArtifactError
from runtimes.registry import backend
from runtimes.tuning import Tuning, write_tuning


@pytest.fixture
def stating(artifact: Callable[..., Path], tmp_path: Path) -> Callable[[Any], Path]:
    """``stating({"use_sgemm_convolution": False})``: a float32 artifact that states this; None removes it."""

    def make(options: Any) -> Path:
        path = tmp_path / "artifact"
        shutil.copytree(artifact("ncnn"), path)
        data = json.loads((path / "manifest.json").read_text())
        data["details"].pop(DETAIL)
        if options is not None:
            data["details"][DETAIL] = options
        (path / "manifest.json").write_text(json.dumps(data))
        return path

    return make


def test_all_names_are_options_of_ncnn() -> None:
    ncnn = pytest.importorskip("ncnn")
    assert all(isinstance(getattr(ncnn.Option(), name), bool) for name in NAMES)


def test_an_artifact_states_what_its_precision_needs(artifact: Callable[..., Path]) -> None:
    manifest = read_manifest(artifact("ncnn"))
    assert manifest.details[DETAIL] == stated_options(manifest) == options_of(Precision.FP32)
    on = {precision: {name for name, value in options_of(precision).items() if value} for precision in Precision}
    assert on == {
        Precision.FP32: set(),
        Precision.FP16: {"use_fp16_packed", "use_fp16_storage"},
        Precision.BF16: {"use_bf16_packed", "use_bf16_storage"},
        Precision.INT8: {"use_int8_inference"},
    }


def test_what_is_stated_is_set_and_not_tuned(
    stating: Callable[[Any], Path], require_device: Callable[[str, str], None]
) -> None:
    require_device("ncnn", "cpu")
    path = stating({**options_of(Precision.FP32), "use_winograd_convolution": False})
    tuning = Tuning(settings={"use_winograd_convolution": True, "use_sgemm_convolution": False})
    write_tuning(path, backend("ncnn").ABOUT, "cpu", tuning, {})
    with load(path) as runtime:
        option = runtime._net.opt  # type: ignore[attr-defined]
        assert not option.use_winograd_convolution
        assert not option.use_sgemm_convolution
        assert runtime.spec.settings == {"use_sgemm_convolution": False}


def test_an_artifact_that_states_nothing_runs_as_its_precision_needs(stating: Callable[[Any], Path]) -> None:
    with load(stating(None)) as runtime:
        assert not runtime._net.opt.use_fp16_storage  # type: ignore[attr-defined]
        assert runtime.spec.arithmetic == "fp32"


@pytest.mark.parametrize(
    "options",
    [
        {"use_vulkan_compute": True},
        {"num_threads": 64},
        {"use_winograd_convolution": 1},
        {"use_winograd_convolution": "false"},
        {"use_winograd_convolution": None},
        {"__class__": True},
        [],
        "use_winograd_convolution",
        7,
    ],
)
def test_other_names_and_values_are_refused(options: Any, stating: Callable[[Any], Path]) -> None:
    with pytest.raises(ArtifactError, match=rf"details\.{DETAIL} .*: export it again") as caught:
        load(stating(options))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("precision", Precision)
def test_int8_weights_are_never_read_as_float32(stating: Callable[[Any], Path], precision: Precision) -> None:
    manifest = replace(read_manifest(stating({"use_int8_inference": False})), precision=precision)
    with pytest.raises(ArtifactError, match=r"use_int8_inference: false, .* expected true or nothing: export it again"):
        stated_options(manifest)


@pytest.mark.parametrize(
    ("precision", "on", "half", "expected"),
    [
        (Precision.FP32, (), True, "fp32"),
        (Precision.FP16, ("use_fp16_storage",), True, "fp16 storage"),
        (Precision.FP16, ("use_fp16_storage", "use_fp16_arithmetic"), True, "fp16"),
        (Precision.FP16, ("use_fp16_storage",), False, "fp32"),
        (Precision.FP16, (), True, "fp32"),
        (Precision.BF16, ("use_bf16_storage",), False, "bf16"),
        (Precision.INT8, (), True, "int8"),
        (Precision.INT8, ("use_fp16_storage",), True, "int8 with fp16 storage"),
        (Precision.INT8, ("use_fp16_storage",), False, "int8"),
        (Precision.INT8, ("use_bf16_storage",), False, "int8 with bf16"),
    ],
)
def test_the_arithmetic_is_what_runs(
    precision: Precision, on: tuple[str, ...], half: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ncnn = pytest.importorskip("ncnn")
    monkeypatch.setattr(ncnn, "cpu_support_arm_asimdhp", lambda: half)
    assert arithmetic(precision, dict.fromkeys(on, True), vulkan=False) == expected
