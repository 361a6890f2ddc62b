"""Every backend keeps the contract on a real artifact; one that is not here skips with its reason."""

from __future__ import annotations

import gc
import json
import shutil
import warnings
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.targets import TARGETS
from runtimes import (
    ArtifactError,
    BackendError,
    FrameError,
    ParityError,
    ParityNotRunWarning,
    Runtime,
    RuntimesError,
    TimestepError,
    load,
)
from runtimes.artifact import MANIFEST, open_artifact
from runtimes.backends.openvino import OpenVinoRuntime, read_ir
from runtimes.contract import Timesteps
from runtimes.frames import to_frame, to_tensor
from runtimes.registry import BACKENDS, backend

BACKEND_OF = {name: module.BACKEND for name, module in TARGETS.items()}

Frames = Callable[..., tuple[np.ndarray, np.ndarray]]


def step(t: float) -> np.ndarray:
    return np.full((1, 1, 1, 1), t, np.float32)


@pytest.fixture(params=BACKEND_OF)
def target(request: pytest.FixtureRequest, require_device: Callable[[str, str], None]) -> str:
    """Each target whose default device is here."""
    name = BACKEND_OF[request.param]
    require_device(name, backend(name).DEFAULT_DEVICE)
    return str(request.param)


@pytest.fixture
def runtime(target: str, open_runtime: Callable[..., Runtime]) -> Runtime:
    """Its artifact for 160x96 of a model that serves any t, on its default device."""
    return open_runtime(target)


@pytest.fixture
def copy(artifact: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """A copy of an artifact whose first verdict is another one."""

    def make(target: str, verdict: str = "passed", reason: str = "") -> Path:
        path = tmp_path / target
        shutil.copytree(artifact(target), path)
        data = json.loads((path / MANIFEST).read_text())
        data["parity"][0] |= {"verdict": verdict, "reason": reason}
        (path / MANIFEST).write_text(json.dumps(data))
        return path

    return make


def test_every_backend_is_tested() -> None:
    """Here, or in tests/native: the C library runs artifacts of another backend."""
    assert {*BACKEND_OF.values(), "native"} == set(BACKENDS)


def test_several_times_at_once_are_the_single_ones(runtime: Runtime, frames: Frames) -> None:
    """The halves that encode once compute what the whole does, for another pair as well."""
    for img0, img1 in (frames(), frames()[::-1]):
        x0, x1 = to_tensor(img0), to_tensor(img1)
        together = runtime.infer(x0, x1, np.concatenate([step(0.25), step(0.5), step(0.8)]))
        single = np.concatenate([runtime.infer(x0, x1, step(t)) for t in (0.25, 0.5, 0.8)])
        assert together.shape == (3, 3, 96, 160)
        assert np.abs(single[0] - single[2]).max() > 0.05
        np.testing.assert_allclose(together, single, rtol=0.0, atol=1e-6)
        listed = runtime.interpolate(img0, img1, (0.25, 0.8))
        np.testing.assert_array_equal(listed, [to_frame(single[i : i + 1], np.dtype(np.uint8)) for i in (0, 2)])


def test_a_pair_of_several_times_is_encoded_once(target: str, runtime: Runtime, frames: Frames) -> None:
    """All but those whose files are not cut."""
    whole = ("trt", "executorch", "coreml", "qnn")
    runtime.interpolate(*frames(), (0.25, 0.8))
    assert (runtime._halves is not None) == (target not in whole), "every t encoded the pair again"


def test_the_second_half_holds_no_convolution_of_the_encoder(artifact: Callable[..., Path]) -> None:
    onnx = pytest.importorskip("onnx")
    from runtimes.backends.onnxruntime import halves

    whole = (artifact("onnx") / "model.onnx").read_bytes()
    counts = [
        sum(node.op_type == "Conv" for node in onnx.load_from_string(model).graph.node)
        for model in (whole, *halves(whole))
    ]
    assert counts[1] == 8  # two for each level of the pyramid, the two frames as one batch
    assert counts[0] == counts[1] + counts[2]


@pytest.mark.parametrize("name", ["onnx", "openvino", "ncnn", "mnn", "litert"])
def test_the_halves_are_those_of_the_files_that_were_checked(
    name: str, artifact: Callable[..., Path], frames: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever becomes of the folder, or of the directory it was named from, after loading."""
    folder = tmp_path / name
    shutil.copytree(artifact(name), folder)
    monkeypatch.chdir(tmp_path)
    with load(name) as runtime:
        expected = runtime.interpolate(*frames(), 0.25)
        monkeypatch.chdir("/")
        shutil.rmtree(folder)
        found, _ = runtime.interpolate(*frames(), (0.25, 0.8))
        assert np.abs(found.astype(int) - expected).max() <= 1
        assert runtime._halves is not None


def test_frames_are_rounded_tensors(runtime: Runtime, frames: Frames) -> None:
    img0, img1 = frames()
    found = runtime.interpolate(img0, img1, 0.3)
    assert found.shape == (96, 160, 3)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    output = runtime.infer(to_tensor(img0), to_tensor(img1), step(0.3))
    assert output.dtype == np.float32
    assert output.shape == (1, 3, 96, 160)
    np.testing.assert_array_equal(found, to_frame(output, np.dtype(np.uint8)))
    assert found.std() > 20


def test_sixteen_bit_frames(runtime: Runtime, frames: Frames) -> None:
    img0, img1 = (img.astype(np.uint16) * 257 for img in frames())
    deep = runtime.interpolate(img0, img1)
    assert deep.dtype == np.uint16
    np.testing.assert_allclose(deep / 257.0, runtime.interpolate(*frames()), atol=0.51)
    assert (deep % 257 != 0).any()  # not 8 bits on the way


def test_order_and_time_matter(runtime: Runtime, frames: Frames) -> None:
    img0, img1 = frames()
    early, late = runtime.interpolate(img0, img1, [0.2, 0.8])
    assert np.abs(early.astype(int) - late).max() > 2
    assert np.abs(early.astype(int) - runtime.interpolate(img1, img0, 0.2)).max() > 20


def test_a_list_is_its_parts(runtime: Runtime, frames: Frames) -> None:
    img0, img1 = frames()
    steps = [0.75, 0.5, 0.25]
    for found, t in zip(runtime.interpolate(img0, img1, steps), steps, strict=True):
        np.testing.assert_array_equal(found, runtime.interpolate(img0, img1, t))


def test_outputs_belong_to_the_caller_and_inputs_are_left_alone(runtime: Runtime, frames: Frames) -> None:
    img0, img1 = (to_tensor(img) for img in frames())
    before = img0.copy(), img1.copy()
    first = runtime.infer(img0, img1, step(0.5))
    kept = first.copy()
    runtime.infer(img1, img0, step(0.25))
    np.testing.assert_array_equal(first, kept)
    first[:] = 0.0
    np.testing.assert_array_equal(runtime.infer(img0, img1, step(0.5)), kept)
    np.testing.assert_array_equal(img0, before[0])
    np.testing.assert_array_equal(img1, before[1])


def test_any_memory_layout(runtime: Runtime, frames: Frames) -> None:
    """Frames of a decoder are read-only, mirrored, or columns of something larger."""
    img0, img1 = frames()
    expected = runtime.interpolate(img0, img1)
    img0.flags.writeable = False
    wide = np.zeros((96, 200, 4), np.uint8)
    wide[:, 10:170, 2::-1] = img1
    np.testing.assert_array_equal(runtime.interpolate(img0, wide[:, 10:170, 2::-1]), expected)
    x0, x1 = to_tensor(img0), to_tensor(img1)
    output = runtime.infer(x0, x1, step(0.5))
    x0.flags.writeable = x1.flags.writeable = False
    np.testing.assert_array_equal(runtime.infer(x0, np.asfortranarray(x1), step(0.5)), output)


def test_frames_that_do_not_fit(runtime: Runtime, frames: Frames) -> None:
    img0, img1 = frames()
    other = frames("150x96")
    with pytest.raises(FrameError, match=r"frames are 150x96, the artifact takes 160x96.*--size 150x96"):
        runtime.interpolate(*other)
    with pytest.raises(FrameError, match="the frames differ"):
        runtime.interpolate(img0, other[1])
    with pytest.raises(FrameError, match="expected a uint8 or uint16 array"):
        runtime.interpolate(img0 / 255.0, img1 / 255.0)
    broken = to_tensor(img0)
    broken[0, 0, 5, 5] = np.nan
    with pytest.raises(FrameError, match="expected finite values"):
        runtime.infer(broken, to_tensor(img1), step(0.5))
    for t in (0.0, 1.0, 1.5):
        with pytest.raises(TimestepError, match="expected 0 < t < 1"):
            runtime.interpolate(img0, img1, t)


def test_calls_from_eight_threads_give_what_one_gives(runtime: Runtime, frames: Frames) -> None:
    pairs = [frames(seed=seed) for seed in range(4)]
    jobs = [(*pair, t) for pair in pairs for t in (0.3, 0.7)] * 2
    serial = [runtime.interpolate(*job) for job in jobs]
    with ThreadPoolExecutor(8) as pool:
        parallel = list(pool.map(lambda job: runtime.interpolate(*job), jobs))
    for found, expected in zip(parallel, serial, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_threads_change_nothing_but_speed(target: str, runtime: Runtime, artifact: Any, frames: Frames) -> None:
    img0, img1 = (to_tensor(img) for img in frames())
    with load(artifact(target), threads=2) as two:
        assert (two.spec.threads, runtime.spec.threads) == (2, 1)
        np.testing.assert_allclose(
            two.infer(img0, img1, step(0.5)), runtime.infer(img0, img1, step(0.5)), atol=2e-5, rtol=0
        )


def test_a_compiled_model_is_kept_where_asked(
    artifact: Any, tmp_path: Path, frames: Frames, require_device: Callable[[str, str], None]
) -> None:
    require_device("openvino", "cpu")
    folder, (img0, img1), steps = artifact("openvino"), frames(), [0.25, 0.5]
    with load(folder) as runtime:
        expected = runtime.interpolate(img0, img1, steps)
    for again in (False, True):
        with load(folder, cache=tmp_path / "compiled") as runtime:
            assert isinstance(runtime, OpenVinoRuntime)
            assert runtime.compiled.get_property("LOADED_FROM_CACHE") is again
            np.testing.assert_array_equal(runtime.interpolate(img0, img1, steps), expected)
    # Damage is noticed by OpenVINO itself, which compiles again.
    for blob in (tmp_path / "compiled").iterdir():
        blob.write_bytes(blob.read_bytes()[: blob.stat().st_size // 2])
    with load(folder, cache=tmp_path / "compiled") as runtime:
        np.testing.assert_array_equal(runtime.interpolate(img0, img1, steps), expected)


@pytest.mark.parametrize("threads", [0, -1, 1025])
def test_absurd_threads(target: str, artifact: Any, threads: int) -> None:
    with pytest.raises(BackendError, match=f"threads is {threads}; expected 1 to 1024"):
        load(artifact(target), threads=threads)


def test_closed(target: str, artifact: Any, frames: Frames) -> None:
    with load(artifact(target), threads=1) as runtime:
        pass
    runtime.close()
    with pytest.raises(RuntimesError, match="is closed; load it again"):
        runtime.interpolate(*frames())


def test_a_runtime_that_is_dropped_goes_at_once(target: str, artifact: Any, frames: Frames) -> None:
    """It holds up to gigabytes, and Python looks for cycles by the number of objects."""
    runtime = load(artifact(target), threads=1)
    runtime.interpolate(*frames(), (0.25, 0.8))
    here = weakref.ref(runtime)
    gc.disable()
    try:
        del runtime
        assert here() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "vulkan:99", "CPU ", "cpu:1", "../x", ""])
def test_a_device_that_does_not_exist(target: str, artifact: Any, device: str) -> None:
    with pytest.raises(BackendError, match=r"has no device '.*' here; there are ") as caught:
        load(artifact(target), device=device)
    assert "\n" not in str(caught.value)


def test_a_device_that_is_missing_says_why(artifact: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from runtimes.backends import onnxruntime as ort
    from runtimes.device import Device

    monkeypatch.setattr(ort, "devices", lambda: [Device(name="cpu"), Device(name="cuda:0", reason="no driver")])
    with pytest.raises(BackendError, match="onnxruntime cannot use cuda:0: no driver"):
        load(artifact("onnx"), device="cuda:0")


def test_a_backend_that_is_not_installed_names_the_extra(artifact: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = artifact("onnx")
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    for name, module in BACKENDS.items():
        if name in ("native", "coreml"):  # make native builds one, and the other is a part of macOS
            continue
        assert "pip install 'ifrnet-export[" in backend(name).missing(), module
    with pytest.raises(BackendError, match=r"onnxruntime is not installed: pip install 'ifrnet-export\[onnx\]'"):
        load(path)


def test_an_unknown_backend(copy: Callable[..., Path]) -> None:
    path = copy("onnx")
    data = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(data | {"backend": "abacus"}))
    with pytest.raises(BackendError, match="no backend named 'abacus'; there are onnxruntime"):
        load(path)


def test_a_failed_artifact_is_refused(target: str, copy: Callable[..., Path], frames: Frames) -> None:
    path = copy(target, "failed", "max error 0.5")
    with pytest.raises(ParityError, match=r"failed parity on .*max error 0\.5.*export it again") as caught:
        load(path)
    assert caught.value.exit_code == 2
    with load(path, threads=1, allow_failed=True) as runtime:
        assert runtime.interpolate(*frames()).shape == (96, 160, 3)


def test_an_artifact_that_was_never_compared_warns(target: str, copy: Callable[..., Path]) -> None:
    path = copy(target, "not run", "no such machine")
    with pytest.warns(ParityNotRunWarning, match=r"parity not run on .*no such machine"):
        load(path, threads=1).close()


def test_a_changed_byte_is_refused(target: str, copy: Callable[..., Path]) -> None:
    path = copy(target)
    model = max(path.iterdir(), key=lambda file: file.stat().st_size)
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    with pytest.raises(ArtifactError, match="has changed since it was exported"):
        load(path)


def test_a_model_that_is_not_one_is_refused_in_one_line(
    target: str, copy: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Files that agree with the manifest and are garbage all the same."""
    import hashlib

    path = copy(target)
    data = json.loads((path / MANIFEST).read_text())
    for name in data["files"]:
        (path / name).write_bytes(b"garbage\n")
        data["files"][name] = {"sha256": hashlib.sha256(b"garbage\n").hexdigest(), "bytes": 8}
    (path / MANIFEST).write_text(json.dumps(data))
    with pytest.raises(BackendError, match="cannot load") as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


def test_a_refusal_of_openvino_that_is_no_text(artifact: Callable[..., Path]) -> None:
    """Its message repeats bytes of the model, which Python cannot decode."""
    whole = open_artifact(artifact("openvino"))
    damaged = whole.data(".xml").replace(b'type="Const"', b'type="Co\xff\xfft"', 1)
    with pytest.raises(BackendError, match="OpenVINO cannot load"):
        read_ir(replace(whole, contents={**whole.contents, whole.name(".xml"): damaged}))


def test_a_middle_checkpoint(artifact: Any, middle_checkpoint: Path, frames: Frames) -> None:
    with load(artifact("onnx", model=str(middle_checkpoint)), threads=1) as runtime:
        assert runtime.spec.timesteps is Timesteps.MIDDLE
        assert runtime.interpolate(*frames()).shape == (96, 160, 3)
        with pytest.raises(TimestepError, match=r"trained at t = 0\.5 only"):
            runtime.interpolate(*frames(), 0.25)


@pytest.mark.parametrize("target", ["onnx", "openvino", "mnn"])
def test_a_dynamic_artifact_takes_any_size_in_any_order(target: str, artifact: Any, frames: Frames) -> None:
    with load(artifact(target, dynamic=True), threads=1) as runtime:
        first = runtime.interpolate(*frames("131x77"))
        for size in ("160x96", "32x32", "77x131"):
            width, height = map(int, size.split("x"))
            assert runtime.interpolate(*frames(size)).shape == (height, width, 3)
        np.testing.assert_array_equal(runtime.interpolate(*frames("131x77")), first)
        with pytest.raises(FrameError, match="the artifact takes 32x32 to 400x300"):
            runtime.interpolate(*frames("31x32"))


def test_a_passed_artifact_does_not_warn(target: str, artifact: Any) -> None:
    with warnings.catch_warnings(action="error"):
        load(artifact(target), threads=1).close()
