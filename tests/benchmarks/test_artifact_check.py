"""Artifacts that were exported before: used, or refused with what to remove."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.artifact_check import check_artifact
from benchmarks.errors import BenchmarkError
from ifrnet import load_model
from runtimes.artifact import read_manifest
from runtimes.shipped import FOLDER

FOUND = FOLDER / "ifrnet_s-openvino-int8-dynamic"


def test_an_artifact_of_a_recipe_before_is_refused() -> None:
    info, manifest = load_model("ifrnet_s").info, read_manifest(FOUND)
    assert info is not None
    check_artifact(manifest, FOUND, info)
    layers = [*manifest.details["int8_layers"], "encoder.pyramid1.1.0", "encoder.pyramid2.0.0"]
    before = replace(manifest, details={**manifest.details, "int8_layers": layers})
    with pytest.raises(
        BenchmarkError, match=r"here has in int8 encoder\.pyramid1\.1\.0 and 1 more layers .*: remove here"
    ) as caught:
        check_artifact(before, Path("here"), info)
    assert "\n" not in str(caught.value)


def test_own_weights_have_no_shipped_scales() -> None:
    info, manifest = load_model("random:ifrnet_s").info, read_manifest(FOUND)
    assert info is not None
    check_artifact(replace(manifest, checkpoint={**manifest.checkpoint, "sha256": info.sha256}), FOUND, info)
    with pytest.raises(BenchmarkError, match="was exported from weights with sha256"):
        check_artifact(manifest, FOUND, info)
