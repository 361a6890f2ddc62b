"""Scales: shipped for built-in models, bound to the checkpoint, checked on reading."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from export.int8.errors import CalibrationError
from export.int8.recipe import int8_layers
from export.int8.scales import SHIPPED, Scales, read_scales, scales_for
from export.int8.work import layer_work, share
from ifrnet import BUILTIN, load_model, random_model

GOOD = Scales(checkpoint={"name": "x", "sha256": "0" * 64}, scales={"decoder1.features": 0.5}, provenance={"seed": 0})


@pytest.mark.parametrize("name", BUILTIN)
def test_every_built_in_model_ships_scales(name: str) -> None:
    model = load_model(name)
    assert model.info is not None
    scales = scales_for(model.info, None)
    assert set(scales.scales) == set(int8_layers(layer_work(model.variant)))
    assert share(model.variant, scales.scales) > 0.85
    assert len(scales.provenance["samples_sha256"]) == 64


def test_no_scales_are_shipped_for_nothing() -> None:
    known = {model.info.sha256 for model in map(load_model, BUILTIN) if model.info is not None}
    assert {read_scales(path).checkpoint["sha256"] for path in SHIPPED.glob("*.json")} == known


def test_files_come_back_as_written(tmp_path: Path) -> None:
    GOOD.save(tmp_path / "new" / "scales.json")
    assert read_scales(tmp_path / "new" / "scales.json") == GOOD
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["scales.json"]


def test_a_model_without_scales_names_the_command() -> None:
    info = random_model("ifrnet").info
    assert info is not None
    with pytest.raises(CalibrationError, match=r"python -m calibration scales --model .* --calibration"):
        scales_for(info, None)


def test_scales_of_other_weights_are_refused(tmp_path: Path) -> None:
    GOOD.save(tmp_path / "scales.json")
    info = random_model("ifrnet_s").info
    assert info is not None
    with pytest.raises(CalibrationError, match="holds scales of x"):
        scales_for(info, tmp_path / "scales.json")
    mine = replace(GOOD, checkpoint={"name": info.name, "sha256": info.sha256})
    mine.save(tmp_path / "scales.json")
    assert scales_for(info, tmp_path / "scales.json") == mine


def test_scales_of_another_network_of_the_same_file_are_refused(tmp_path: Path) -> None:
    info = random_model("ifrnet_s").info
    assert info is not None
    model, ema = (replace(info, source="pair.pth", network=network) for network in ("model", "ema"))
    old = replace(GOOD, checkpoint={"name": info.name, "sha256": info.sha256})
    mine = replace(old, checkpoint={**old.checkpoint, "network": "ema"})
    for scales, told in ((mine, "ema"), (old, "an unnamed one")):
        scales.save(tmp_path / "scales.json")
        match = rf"scales of {told} of the networks in pair\.pth, the model is model: .* --weights model --out"
        with pytest.raises(CalibrationError, match=match):
            scales_for(model, tmp_path / "scales.json")
    mine.save(tmp_path / "scales.json")
    assert scales_for(ema, tmp_path / "scales.json") == mine


@pytest.mark.parametrize(
    "change",
    [
        {"format": 99},
        {"scales": {}},
        {"scales": {"a": 0.0}},
        {"scales": {"a": 1e-46}},
        {"scales": {"a": 1e39}},
        {"scales": {"a": float("nan")}},
        {"scales": {"a": "x"}},
        {"scales": [1]},
        {"checkpoint": {}},
        {"provenance": None},
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "scales.json"
    GOOD.save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CalibrationError, match="no file of calibrated scales") as caught:
        read_scales(path)
    assert "\n" not in str(caught.value)


def test_missing_damaged_and_huge_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="no such file"):
        read_scales(tmp_path / "none.json")
    path = tmp_path / "scales.json"
    path.write_bytes(b"\xff\xfe{")
    with pytest.raises(CalibrationError, match="no file of calibrated scales"):
        read_scales(path)
    path.write_bytes(b" " * (2**20 + 1))
    with pytest.raises(CalibrationError, match="far smaller"):
        read_scales(path)
