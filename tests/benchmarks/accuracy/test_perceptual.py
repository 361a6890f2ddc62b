"""The perceptual distance on a network of the same blobs with random weights, which the test writes: the published
weights are not at hand in tests, and their sha256 is what the command asks for.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import PROGRAM, main
from benchmarks.accuracy import perceptual
from benchmarks.accuracy.perceptual import DEPTHS, SqueezeNet, distance
from benchmarks.errors import BenchmarkError
from benchmarks.report.results_file import Kind, load_results
from export.parity_frames import moving_frame
from runtimes.cli import run
from runtimes.contract import Size
from tests.benchmarks.accuracy.miniatures import ucf101

SIZE = Size(96, 64)


@pytest.fixture(autouse=True)
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A chain of strided convolutions whose outputs have the names of SqueezeNet's depths."""
    pytest.importorskip("ncnn", reason="ncnn is not installed")
    folder = tmp_path / "network"
    folder.mkdir()
    lines, blobs = ["Input data 0 1 data"], bytearray()
    generator, before, inputs = np.random.default_rng(0), "data", 3
    for index, name in enumerate(DEPTHS):
        shape = (8, inputs, 3, 3)
        lines.append(
            f"Convolution c{index} 1 1 {before} {name} 0=8 1=3 3={2 if index < 2 else 1} 4=1 5=0 6={8 * inputs * 9} 9=1"
        )
        blobs += bytes(4) + generator.normal(0.0, 0.1, shape).astype("<f4").tobytes()
        before, inputs = name, 8
    (folder / "squeezenet_v1.1.param").write_text("\n".join(["7767517", f"{len(lines)} {len(lines)}", *lines]) + "\n")
    (folder / "squeezenet_v1.1.bin").write_bytes(bytes(blobs))
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in perceptual.FILES}
    monkeypatch.setattr(perceptual, "FILES", files)
    return folder


def test_the_distance_grows_with_the_error_and_is_symmetric(network: Path) -> None:
    eye = SqueezeNet(network, 1)
    frame = moving_frame(SIZE, 0.0)
    features = eye.features(frame)
    assert [feature.shape for feature in features] == [(8, 32, 48), *[(8, 16, 24)] * 6]
    lengths = np.linalg.norm(features[0], axis=0)
    assert np.all((np.abs(lengths - 1.0) < 1e-4) | (lengths < 1e-4))  # zero where every ReLU is
    assert distance(features, eye.features(frame)) == 0.0
    noise = np.random.default_rng(1).normal(0.0, 1.0, frame.shape).astype(np.float32)
    near, far = (eye.features(frame + amount * noise) for amount in (0.02, 0.2))
    assert 0.0 < distance(features, near) < distance(features, far)
    assert distance(features, far) == distance(far, features)


def test_colours_go_in_as_blue_green_red(network: Path) -> None:
    """A red frame and a blue one swap places when the first convolution swaps red with blue."""
    eye = SqueezeNet(network, 1)
    red, blue = np.zeros((2, 1, 3, 64, 64), np.float32)
    red[0, 0], blue[0, 2] = 1.0, 1.0
    weights = np.frombuffer((network / "squeezenet_v1.1.bin").read_bytes()[4 : 4 + 4 * 216], "<f4").reshape(8, 3, 3, 3)
    for frame, place in ((red, 2), (blue, 0)):
        pixel = -perceptual.MEANS[:, 0, 0].astype(np.float64)
        pixel[place] += 255.0
        expected = np.maximum((weights.sum(axis=(2, 3)) * pixel).sum(axis=1), 0.0)
        found = eye.features(frame)[0][:, 16, 16]
        np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-4)


def test_the_command_has_the_column(network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.json"
    arguments = ["--dataset", "ucf101", "--root", str(ucf101(tmp_path / "data")), "--model", "random:ifrnet_s"]
    more = ["--baselines", "--squeezenet", str(network), "--threads", "1", "--json", str(out)]
    assert main(["accuracy", *arguments, *more]) == 0
    rows = load_results(out, Kind.ACCURACY).rows
    assert all(row["perceptual"] > 0.0 for row in rows)
    assert "perceptual" in capsys.readouterr().out


@pytest.mark.parametrize("name", list(perceptual.FILES))
def test_another_file_is_refused(name: str, network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (network / name).write_bytes(b"another")
    with pytest.raises(BenchmarkError, match=f"{name} is not the file of src/ncnn/examples"):
        SqueezeNet(network, 1)
    (network / name).unlink()
    assert run(PROGRAM, main, ["accuracy", "--squeezenet", str(network)]) == 1
    assert f"{name} is not there; take it from src/ncnn/examples" in capsys.readouterr().err


def test_a_small_frame_is_refused(network: Path) -> None:
    with pytest.raises(BenchmarkError, match="a frame of 96x31, expected 32 or more"):
        SqueezeNet(network, 1).features(np.zeros((1, 3, 31, 96), np.float32))
