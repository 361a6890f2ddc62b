"""The file beside an artifact that says how to run it: used where it was made, and nothing in it is trusted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes import ArtifactError, load
from runtimes import tuning as module
from runtimes.frames import to_tensor
from runtimes.registry import BACKENDS, backend
from runtimes.tuning import FILE, LIMIT, Tuning, read_tuning, write_tuning

CHOICES = {"fast": (False, True), "level": (1, 2)}

TUNED = Tuning(threads=1, settings={"fast": True, "level": 2})


def read(folder: Path, name: str = "ncnn", device: str = "cpu") -> Tuning:
    return read_tuning(folder, backend(name).ABOUT, device, CHOICES)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read(tmp_path) == Tuning()
    assert write_tuning(tmp_path, backend("ncnn").ABOUT, "cpu", TUNED, {"ratio": 1.1}) == tmp_path / FILE
    assert read(tmp_path) == TUNED
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(("name", "device"), [("openvino", "cpu"), ("ncnn", "vulkan:0")])
def test_it_holds_for_one_backend_and_device(name: str, device: str, tmp_path: Path) -> None:
    write_tuning(tmp_path, backend("ncnn").ABOUT, "cpu", TUNED, {})
    assert read(tmp_path, name, device) == Tuning()


@pytest.mark.parametrize("what", ["processor", "package_versions"])
def test_it_holds_for_one_machine_and_version(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tuning(tmp_path, backend("ncnn").ABOUT, "cpu", TUNED, {})
    monkeypatch.setattr(module, what, lambda *_: "another")
    assert read(tmp_path) == Tuning()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": {"fast": 1}}, "ncnn has no setting fast = 1"),
        ({"settings": {"path": "/etc"}}, "ncnn has no setting path = '/etc'"),
        ({"settings": [1]}, ""),
        ({"threads": 0}, "threads is 0"),
        ({"threads": True}, "threads is True"),
        ({"threads": "2"}, "threads is '2'"),
    ],
)
def test_what_the_backend_does_not_have_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write_tuning(tmp_path, backend("ncnn").ABOUT, "cpu", TUNED, {})
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ArtifactError, match="remove it, or tune again") as caught:
        read(tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 200_000, '{"format": 1}', " " * (LIMIT + 1)])
def test_a_damaged_file_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ArtifactError, match="cannot read"):
        read(tmp_path)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_: str) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / FILE).touch()
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(ArtifactError, match=r"cannot read .*Permission denied.*; remove it, or tune again"):
        read(tmp_path)


@pytest.mark.parametrize("target", ["onnx", "openvino", "ncnn"])
def test_every_setting_loads_and_computes_the_same(
    target: str,
    artifact: Callable[..., Path],
    frames: Callable[..., tuple[np.ndarray, np.ndarray]],
    require_device: Callable[[str, str], None],
    tmp_path: Path,
) -> None:
    name = {"onnx": "onnxruntime"}.get(target, target)
    require_device(name, "cpu")
    path = tmp_path / target
    shutil.copytree(artifact(target), path)
    x0, x1 = (to_tensor(frame) for frame in frames())
    t = np.full((1, 1, 1, 1), 0.3, np.float32)
    with load(path) as runtime:
        expected = runtime.infer(x0, x1, t)
        assert runtime.spec.settings == {}
    settings = {key: values[-1] for key, values in backend(name).SETTINGS.items()}
    write_tuning(path, backend(name).ABOUT, "cpu", Tuning(threads=1, settings=settings), {})
    with load(path) as runtime:
        assert (runtime.spec.threads, runtime.spec.settings) == (1, settings)
        np.testing.assert_allclose(runtime.infer(x0, x1, t), expected, rtol=0.0, atol=2e-4)
    with load(path, threads=2) as runtime:
        assert (runtime.spec.threads, runtime.spec.settings) == (2, settings)
    with load(path, tuned=False) as runtime:
        assert (runtime.spec.threads, runtime.spec.settings) == (None, {})


def test_the_first_value_of_a_setting_is_the_default(artifact: Callable[..., Path]) -> None:
    for name in BACKENDS:
        assert all(len(set(values)) == len(values) > 1 for values in backend(name).SETTINGS.values())
    ncnn, openvino = pytest.importorskip("ncnn"), pytest.importorskip("openvino")
    for key, values in backend("ncnn").SETTINGS.items():
        assert getattr(ncnn.Option(), key) == values[0], key
    compiled = openvino.Core().compile_model(artifact("openvino") / "model.xml", "CPU")
    for key, values in backend("openvino").SETTINGS.items():
        assert getattr(compiled.get_property(key), "name", compiled.get_property(key)) == values[0], key


def test_every_backend_names_what_a_tuning_holds_for() -> None:
    for name in BACKENDS:
        assert backend(name).ABOUT.name == name
        assert backend(name).ABOUT.distributions or not backend(name).SETTINGS  # the C library has none to tune
