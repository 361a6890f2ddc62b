"""ExecuTorch's process: what becomes of it, of whoever waits for it, and of what it prints."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes import load
from runtimes.artifact import Artifact, open_artifact
from runtimes.backends import executorch
from runtimes.backends.executorch import ExecutorchRuntime
from runtimes.contract import Size, SizeRange
from runtimes.errors import ArtifactError, BackendError, DeviceUnavailableError, RuntimesError
from runtimes.frames import to_tensor
from runtimes.tuning import Tuning

if reason := executorch.missing():
    pytest.skip(reason, allow_module_level=True)
if sys.platform == "win32":
    pytest.skip("signals are those of POSIX", allow_module_level=True)

ROOT = Path(__file__).parents[3]

Inputs = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def whole(artifact: Callable[..., Path]) -> Artifact:
    return open_artifact(artifact("executorch"))


@pytest.fixture
def inputs(frames: Callable[..., tuple[np.ndarray, np.ndarray]]) -> Inputs:
    img0, img1 = (to_tensor(frame) for frame in frames())
    return img0, img1, np.full((1, 1, 1, 1), 0.5, np.float32)


@pytest.fixture
def runtime(whole: Artifact) -> Iterator[ExecutorchRuntime]:
    with opened(whole) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def shared(whole: Artifact) -> Iterator[ExecutorchRuntime]:
    """For what does it no harm: starting one takes seconds."""
    with opened(whole) as runtime:
        yield runtime


def opened(whole: Artifact) -> ExecutorchRuntime:
    runtime = executorch.open_runtime(whole, "cpu", Tuning(threads=1))
    assert isinstance(runtime, ExecutorchRuntime)
    return runtime


def process_of(runtime: ExecutorchRuntime) -> subprocess.Popen[bytes]:
    return runtime._process._child


def is_gone(pid: int) -> bool:
    """No process of this number is left, not even as a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def one_line(error: pytest.ExceptionInfo[BackendError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_killed_process_is_an_error_now_and_later(runtime: ExecutorchRuntime, inputs: Inputs) -> None:
    assert runtime.infer(*inputs).shape == (1, 3, 96, 160)
    pid = process_of(runtime).pid
    os.kill(pid, signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(BackendError) as caught:
            runtime.infer(*inputs)
        assert "ExecuTorch's process ended with signal 9" in one_line(caught)
    runtime.close()
    assert is_gone(pid)


def test_a_process_that_dies_while_it_computes(runtime: ExecutorchRuntime, inputs: Inputs) -> None:
    child = process_of(runtime)
    child.send_signal(signal.SIGSTOP)  # so that it surely has not answered yet
    timer = threading.Timer(0.5, child.kill)
    timer.start()
    with pytest.raises(BackendError, match="ended with signal 9"):
        runtime.infer(*inputs)
    timer.join()


def test_a_process_that_does_not_answer(
    runtime: ExecutorchRuntime, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executorch, "ANSWER_S", 0.5)
    process_of(runtime).send_signal(signal.SIGSTOP)
    start = time.monotonic()
    with pytest.raises(BackendError) as caught:
        runtime.infer(*inputs)
    assert one_line(caught) == "ExecuTorch's process did not answer within 0.5 s"
    assert time.monotonic() - start < 30.0
    assert process_of(runtime).poll() is not None


def test_an_interrupted_call_does_not_answer_the_next(
    runtime: ExecutorchRuntime, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between question and answer: the answer must not be taken for that of the next frame."""

    def interrupt(*_: object) -> dict[str, Any]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runtime._process, "_answer", interrupt)
        with pytest.raises(KeyboardInterrupt):
            runtime.infer(*inputs)
    with pytest.raises(BackendError, match="ended: load the artifact again"):
        runtime.infer(*inputs)
    assert process_of(runtime).poll() is not None


def test_a_process_that_never_starts(whole: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "worker.py").write_text("import time; time.sleep(600)")
    monkeypatch.setattr(executorch, "WORKER", tmp_path / "worker.py")
    monkeypatch.setattr(executorch, "START_S", 0.5)
    with pytest.raises(BackendError, match=r"did not answer within 0\.5 s"):
        opened(whole)


def test_the_last_line_of_a_process_that_fails_is_told(
    whole: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "worker.py").write_text("import sys; print('a page'); sys.exit('no such operator')")
    monkeypatch.setattr(executorch, "WORKER", tmp_path / "worker.py")
    with pytest.raises(BackendError) as caught:
        opened(whole)
    assert "no such operator" in one_line(caught)
    assert capfd.readouterr() == ("", "")


def test_closing_ends_the_process_and_twice_is_fine(whole: Artifact, inputs: Inputs) -> None:
    runtime = opened(whole)
    pid = process_of(runtime).pid
    runtime.close()
    runtime.close()
    assert is_gone(pid)
    with pytest.raises(RuntimesError, match="is closed"):
        runtime.infer(*inputs)


def test_a_runtime_that_is_dropped_leaves_no_process(whole: Artifact) -> None:
    runtime = opened(whole)
    pid = process_of(runtime).pid
    del runtime
    gc.collect()
    assert is_gone(pid)


def test_no_descriptor_is_left_open(whole: Artifact) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system does not list them")
    opened(whole).close()
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    opened(whole).close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_process_ends_with_the_one_that_started_it(artifact: Callable[..., Path]) -> None:
    code = (
        "import os, signal, sys, runtimes\n"
        "runtime = runtimes.load(sys.argv[1], threads=1)\n"
        "print(runtime._process._child.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(artifact("executorch"))], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    pid = int(done.stdout)
    for _ in range(100):
        if is_gone(pid) or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":  # whom nobody here can wait for
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("it went on without anybody to answer")


def test_two_at_once_do_not_mix(whole: Artifact, shared: ExecutorchRuntime, inputs: Inputs) -> None:
    """Nor does the number of threads of one become the other's, nor the folder matter once the files are read."""
    img0, img1, t = inputs
    elsewhere = replace(whole, folder=Path("/nowhere"))
    with executorch.open_runtime(elsewhere, "cpu", Tuning(threads=2)) as other:
        first, second = shared.infer(img0, img1, t), other.infer(img1, img0, t)
        assert np.abs(first - second).max() > 0.05
        np.testing.assert_allclose(other.infer(img0, img1, t), first, rtol=0.0, atol=1e-6)
        assert isinstance(other, ExecutorchRuntime)
        assert (shared._process.threads, other._process.threads) == (1, 2)
        other.close()
        np.testing.assert_array_equal(shared.infer(img0, img1, t), first)


def test_a_forked_child_is_refused_and_harms_nothing(shared: ExecutorchRuntime, inputs: Inputs) -> None:
    runtime = shared
    expected = runtime.infer(*inputs)
    pid = os.fork()
    if pid == 0:
        try:
            runtime.infer(*inputs)
        except BackendError as error:
            refused = "was forked from" in str(error)
            runtime.close()
            os._exit(0 if refused else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    np.testing.assert_array_equal(runtime.infer(*inputs), expected)


def test_the_user_may_interrupt(shared: ExecutorchRuntime, inputs: Inputs) -> None:
    """Ctrl-C reaches the process too, which leaves it to the user's own."""
    process_of(shared).send_signal(signal.SIGINT)
    assert np.isfinite(shared.infer(*inputs)).all()


@pytest.mark.parametrize("damage", [lambda data: b"garbage", lambda data: data[:4096]], ids=["garbage", "cut short"])
def test_a_damaged_file_is_one_line(damage: Callable[[bytes], bytes], whole: Artifact) -> None:
    damaged = replace(whole, contents={"model.pte": damage(whole.data(".pte"))})
    with pytest.raises(BackendError, match="ExecuTorch cannot load") as caught:
        opened(damaged)
    one_line(caught)


def test_a_manifest_of_another_size_is_refused(whole: Artifact) -> None:
    other = replace(whole.manifest, sizes=SizeRange.static(Size(320, 96)))
    with pytest.raises(ArtifactError, match="the manifest says frames of 320x96, the model takes 1x3x96x160"):
        opened(replace(whole, manifest=other))


def test_a_file_for_vulkan_is_not_for_the_cpu(whole: Artifact) -> None:
    manifest = replace(whole.manifest, details={**whole.manifest.details, "delegate": "vulkan"})
    with pytest.raises(DeviceUnavailableError, match="is for ExecuTorch's delegate vulkan, and cpu runs files for xnn"):
        executorch.open_runtime(replace(whole, manifest=manifest), "cpu", Tuning())


def test_vulkan_says_why_not(artifact: Callable[..., Path]) -> None:
    with pytest.raises(BackendError, match=r"cannot use vulkan:0: .* has no Vulkan: such a file runs on a phone"):
        load(artifact("executorch"), device="vulkan:0")


def test_nothing_reaches_the_terminal(
    artifact: Callable[..., Path], tmp_path: Path, frames: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> None:
    from PIL import Image

    images = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, frame in zip(images, frames(), strict=True):
        Image.fromarray(frame).save(path)
    command = ["interpolate", *map(str, images), "-o", str(tmp_path / "c.png"), "--t", "0.25"]
    done = subprocess.run(
        [sys.executable, "-m", "runtimes", *command, "--artifact", str(artifact("executorch"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "cpuinfo" not in done.stdout
    assert (tmp_path / "c.png").is_file()
