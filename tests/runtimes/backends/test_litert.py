"""LiteRT's backend: the bytes that were checked, files that are not what the manifest says, and silence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.parity_frames import moving_pair
from runtimes import load
from runtimes.artifact import open_artifact
from runtimes.backends import litert
from runtimes.contract import Size, SizeRange
from runtimes.errors import ArtifactError, BackendError
from runtimes.tuning import Tuning

if reason := litert.missing():
    pytest.skip(reason, allow_module_level=True)

ROOT = Path(__file__).parent.parent.parent.parent


def test_the_bytes_that_were_checked_are_loaded(artifact: Callable[..., Path]) -> None:
    x, t = moving_pair(Size(160, 96)), np.full((1, 1, 1, 1), 0.5, np.float32)
    with load(artifact("litert"), threads=1) as runtime:
        expected = runtime.infer(*x, t)
    elsewhere = replace(open_artifact(artifact("litert")), folder=Path("/nowhere"))
    with litert.open_runtime(elsewhere, "cpu", Tuning(threads=1)) as runtime:
        first = runtime.infer(*x, t)
        np.testing.assert_array_equal(first, expected)
        assert np.abs(runtime.infer(*x[::-1], t) - expected).max() > 0.1
        np.testing.assert_array_equal(first, expected)  # not memory that LiteRT writes to again


@pytest.mark.parametrize("damage", ["garbage", "empty", "half", "zeros"])
def test_a_file_that_is_none_is_one_line(damage: str, artifact: Callable[..., Path]) -> None:
    whole = open_artifact(artifact("litert"))
    data = whole.data(".tflite")
    changed = {"garbage": b"garbage" * 99, "empty": b"", "half": data[: len(data) // 2], "zeros": bytes(4096)}[damage]
    with pytest.raises(BackendError, match=r"LiteRT cannot load .*: export it again with this version") as caught:
        litert.open_runtime(replace(whole, contents={"model.tflite": changed}), "cpu", Tuning())
    assert "\n" not in str(caught.value)


def test_a_file_of_other_tensors_is_refused(artifact: Callable[..., Path]) -> None:
    whole = open_artifact(artifact("litert"))
    renamed = whole.data(".tflite").replace(b"img1", b"imgX")
    assert renamed != whole.data(".tflite")
    with pytest.raises(BackendError, match="has img0, imgX, t, imgt; expected img0, img1, t and imgt"):
        litert.open_runtime(replace(whole, contents={"model.tflite": renamed}), "cpu", Tuning())


def test_a_manifest_of_another_size_is_refused(artifact: Callable[..., Path]) -> None:
    whole = open_artifact(artifact("litert"))
    other = replace(whole.manifest, sizes=SizeRange.static(Size(320, 96)))
    with pytest.raises(ArtifactError, match="the manifest says frames of 320x96, the model takes 1x3x96x160"):
        litert.open_runtime(replace(whole, manifest=other), "cpu", Tuning())


def test_nothing_of_litert_reaches_the_terminal(artifact: Callable[..., Path]) -> None:
    """It announces its kernels on descriptor 2."""
    code = (
        "import sys, numpy, runtimes\n"
        "with runtimes.load(sys.argv[1], threads=2) as runtime:\n"
        "    frame = numpy.zeros((96, 160, 3), numpy.uint8)\n"
        "    runtime.interpolate(frame, frame, [0.25, 0.5])\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(artifact("litert"))], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_threads_give_the_same_frame(artifact: Callable[..., Path]) -> None:
    x, t = moving_pair(Size(160, 96)), np.full((1, 1, 1, 1), 0.5, np.float32)
    outputs = []
    for threads in (1, 3):
        with load(artifact("litert"), threads=threads) as runtime:
            assert runtime.spec.threads == threads
            outputs.append(runtime.infer(*x, t))
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-5)


def test_the_second_half_has_no_weights_of_the_encoder(artifact: Callable[..., Path]) -> None:
    from export.litert_file import CONVOLUTIONS, File
    from runtimes.backends.litert_halves import halve

    data = open_artifact(artifact("litert")).data(".tflite")
    halved = halve(data)
    whole, first, second = (len(File(part).of_kind(*CONVOLUTIONS)) for part in (data, halved.first, halved.second))
    assert first == 8  # two for each level of the pyramid, the two frames as one batch
    assert whole == first + second
    assert len(halved.first) < 0.1 * len(data) < len(halved.second) < len(data)
