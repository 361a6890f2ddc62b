"""INT8 keeps its quality at every size: the shipped scales, on every target that this machine builds.

160x96 is in the tests of each target.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from export import targets
from export.options import ExportOptions
from export.pipeline import Pipeline
from runtimes.artifact import Manifest, read_manifest
from runtimes.contract import Precision, Size, SizeRange, Verdict

TARGETS = ("onnx", "openvino", "ncnn", "litert", "executorch")
SIZES = ("128x96", "320x180", "640x360", "1280x720", "1920x1080")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Manifest]:
    """The manifest of an artifact, by target and size. Those of one size share what PyTorch makes of the frames."""
    pipelines: dict[str, Pipeline] = {}

    def build(target: str, size: str) -> Manifest:
        if size not in pipelines:
            pipelines.clear()  # its frames take hundreds of megabytes
            options = ExportOptions(
                targets=tuple(name for name in TARGETS if not targets.target(name).missing()),
                precisions=(Precision.INT8,),
                sizes=SizeRange.static(Size.parse(size)),
                out=tmp_path_factory.mktemp(size),
                force=True,  # each call lists the jobs of all
            )
            pipelines[size] = Pipeline(options, lambda line: None)
        (job,) = (job for job in pipelines[size].jobs() if job.target_name == target)
        return read_manifest(pipelines[size].build(job).path)

    return build


@pytest.mark.nightly
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("size", SIZES)
def test_int8_needs_no_footage_and_passes_its_gate(
    size: str, target: str, built: Callable[[str, str], Manifest]
) -> None:
    if reason := targets.target(target).missing():
        pytest.skip(reason)
    manifest = built(target, size)
    record = manifest.parity_on("cpu")
    assert record.verdict is Verdict.PASSED, record.reason
    assert manifest.details["quality"]["cpu"]["samples"] == 6
