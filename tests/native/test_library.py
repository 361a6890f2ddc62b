"""libifrnet from Python: the frames that PyTorch and ncnn give, verdicts that both sides believe, no harm done."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from ctypes import byref, c_size_t, c_void_p
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ifrnet import interpolate, load_model
from runtimes import ParityNotRunWarning, load
from runtimes.artifact import open_artifact, read_manifest
from runtimes.backends.native import NativeRuntime, library
from runtimes.backends.native_abi import Comparison, File, Options
from runtimes.compare import psnr
from runtimes.contract import Precision, Verdict
from runtimes.errors import ArtifactError, ParityError, RuntimesError
from runtimes.frames import to_tensor
from runtimes.registry import runners, verify
from runtimes.verdicts import FILE
from tests.conftest import Artifacts

ROOT = Path(__file__).parents[2]

DEVICE = "native/cpu"

Frames = Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]


@pytest.fixture(autouse=True)
def needs_the_library(require_device: Callable[[str, str], None]) -> None:
    require_device("native", DEVICE)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IFRNET_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(artifact: Artifacts, tmp_path: Path) -> Path:
    """A copy of a small artifact."""
    return Path(shutil.copytree(artifact("ncnn"), tmp_path / "artifact"))


@pytest.fixture
def runtime(artifact: Artifacts) -> Iterator[NativeRuntime]:
    with load(artifact("ncnn"), device=DEVICE, threads=2) as loaded:
        assert isinstance(loaded, NativeRuntime)
        yield loaded


def test_it_says_what_it_is(runtime: NativeRuntime, artifact: Artifacts) -> None:
    manifest = read_manifest(artifact("ncnn"))
    assert runtime.spec.backend == "native"
    assert (runtime.spec.device, runtime.spec.arithmetic, runtime.spec.threads) == (DEVICE, "fp32", 2)
    info = runtime.info
    assert (info.width, info.height, info.any_timestep) == (160, 96, 1)
    assert info.text("identity") == manifest.identity
    (record,) = (record for record in manifest.parity if record.device == DEVICE)
    assert record.verdict is Verdict.PASSED
    assert record.machine is not None
    assert json.loads(info.text("machine")) == record.machine.to_json()


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16, Precision.BF16])
def test_it_gives_what_ncnn_gives_from_python(artifact: Artifacts, frames: Frames, precision: Precision) -> None:
    path = artifact("ncnn", precision=precision)
    img0, img1 = (to_tensor(frame) for frame in frames())
    t = np.array([0.25, 0.5, 0.75], np.float32).reshape(-1, 1, 1, 1)
    with load(path, threads=2) as python, load(path, device=DEVICE, threads=2) as native:
        assert native.spec.arithmetic == python.spec.arithmetic
        expected, found = python.infer(img0, img1, t), native.infer(img0, img1, t)
    # Two that store bfloat16 round apart from each other as each does from PyTorch; else only the order differs.
    assert psnr(found, expected) > (50.0 if precision is Precision.BF16 else 100.0)


def test_several_t_are_what_each_gives_alone(runtime: NativeRuntime, frames: Frames) -> None:
    img0, img1 = frames()
    steps = [0.2, 0.5, 0.9]
    together = runtime.interpolate(img0, img1, steps)
    for step, frame in zip(steps, together, strict=True):
        assert np.array_equal(frame, runtime.interpolate(img0, img1, step))


def test_no_t_gives_no_frame(runtime: NativeRuntime, frames: Frames) -> None:
    assert runtime.interpolate(*frames(), []) == []


def test_a_runtime_that_is_dropped_is_closed(artifact: Artifacts) -> None:
    runtime = load(artifact("ncnn"), device=DEVICE, threads=1)
    assert isinstance(runtime, NativeRuntime)
    handle = runtime._handle
    library().describe(handle)
    del runtime
    with pytest.raises(RuntimesError, match="this runtime was closed"):
        library().describe(handle)


@pytest.mark.parametrize("size", ["1278x718"])
def test_bytes_are_those_of_pytorch(artifact: Artifacts, frames: Frames, size: str) -> None:
    img0, img1 = frames(size)
    with torch.inference_mode():
        first, last = (torch.from_numpy(to_tensor(frame)) for frame in (img0, img1))
        answer = interpolate(load_model("ifrnet_s"), first, last, torch.full((1, 1, 1, 1), 0.5))
    expected = (answer[0] * 255).round().clamp(0, 255).permute(1, 2, 0).numpy().astype(np.int16)
    with load(artifact("ncnn", model="ifrnet_s", size=size), device=DEVICE, threads=2) as runtime:
        difference = np.abs(runtime.interpolate(img0, img1) - expected)
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.999


def test_deeper_frames_keep_their_depth(runtime: NativeRuntime, frames: Frames) -> None:
    img0, img1 = (frame.astype(np.uint16) * 257 for frame in frames())
    deep, flat = runtime.interpolate(img0, img1), runtime.interpolate(*frames())
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257.0 - flat).max() <= 0.51


def test_a_verdict_of_the_program_is_believed_in_python(
    folder: Path, native_program: Path, ran: Callable[[str], None]
) -> None:
    ran("native:program")
    forget(folder)
    with pytest.warns(ParityNotRunWarning, match="never compared on native/cpu"):
        load(folder, device=DEVICE).close()
    done = subprocess.run([native_program, "verify", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(folder, device=DEVICE).close()


def test_a_verdict_of_python_is_believed_by_the_program(folder: Path, native_program: Path, tmp_path: Path) -> None:
    forget(folder)
    command: list[str | Path] = [native_program, "bench", folder, "--rounds", "1"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2, refused.stderr
    assert "was not proved on cpu" in refused.stderr
    assert verify(folder, device=DEVICE).verdict is Verdict.PASSED
    assert subprocess.run(command, capture_output=True, text=True, check=False).returncode == 0


def test_a_verdict_of_ncnn_in_python_is_none_of_the_library(folder: Path) -> None:
    forget(folder)
    verify(folder, device="cpu")
    with pytest.warns(ParityNotRunWarning, match="native/cpu"):
        load(folder, device=DEVICE).close()


def test_a_failed_proof_is_refused_by_both(folder: Path, native_program: Path) -> None:
    forget(folder)
    scramble_weights(folder)
    done = subprocess.run([native_program, "verify", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    with pytest.raises(ParityError, match="failed parity on native/cpu"):
        load(folder, device=DEVICE)
    load(folder, device=DEVICE, allow_failed=True).close()
    again = subprocess.run([native_program, "bench", folder], capture_output=True, text=True, check=False)
    assert again.returncode == 2, again.stdout + again.stderr


@pytest.fixture
def from_memory(folder: Path, tmp_path: Path) -> Callable[[int], c_void_p]:
    """``from_memory(IFRNET_PROVE)`` opens the artifact where its verdict can be kept nowhere."""
    (tmp_path / "file").touch()

    def opened(unproven: int) -> c_void_p:
        contents = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != FILE}
        files = (File * len(contents))(*(File.of(name, data) for name, data in contents.items()))
        options = Options.of(threads=1, unproven=unproven, cache=str(tmp_path / "file"))
        return library().open_memory(files, options)

    forget(folder)
    return opened


PROVE, INSPECT = 1, 3

UNKEPT = (
    "the verdict could not be kept and holds for this runtime alone: let options.cache or IFRNET_CACHE name a folder"
)


def test_a_proof_that_can_be_kept_nowhere_holds_for_the_runtime(from_memory: Callable[[int], c_void_p]) -> None:
    handle = from_memory(PROVE)
    for _ in range(2):
        info = library().describe(handle)
        assert info.proven == 1
        assert info.text("reason").startswith(UNKEPT)
        library().call("ifrnet_verify", handle, None, None)
    library().call("ifrnet_close", handle)


def test_comparisons_of_another_size_are_refused_before_the_proof(from_memory: Callable[[int], c_void_p]) -> None:
    handle, count = from_memory(INSPECT), c_size_t(16)
    with pytest.raises(RuntimesError, match=r"comparisons\[0\].size is 0"):
        library().call("ifrnet_verify", handle, (Comparison * count.value)(), byref(count))
    assert library().describe(handle).proven == 0
    library().call("ifrnet_close", handle)


def test_a_failed_proof_that_can_be_kept_nowhere_is_told_whole(
    folder: Path, from_memory: Callable[[int], c_void_p]
) -> None:
    scramble_weights(folder)
    with pytest.raises(ParityError, match=rf"failed parity on cpu \(at 160x96, .*; {UNKEPT}"):
        from_memory(PROVE)
    handle, count = from_memory(INSPECT), c_size_t(16)
    found = (Comparison * count.value)()
    found[0].size = Comparison.size_of()
    with pytest.raises(ParityError, match=rf"^at 160x96, .*; {UNKEPT}"):
        library().call("ifrnet_verify", handle, found, byref(count))
    assert count.value == 4
    assert all(item.text("trouble") and item.max_error > 0 for item in found[:4])
    assert library().describe(handle).proven == -1
    library().call("ifrnet_close", handle)


def test_without_a_home_it_says_that_the_verdict_is_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget(folder)
    contents = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != FILE}
    files = (File * len(contents))(*(File.of(name, data) for name, data in contents.items()))
    monkeypatch.delenv("IFRNET_CACHE", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    for cache, said in ((None, UNKEPT), (b"", "")):
        options = Options.of(threads=1, unproven=PROVE)
        options.cache = cache
        handle = library().open_memory(files, options)
        assert library().describe(handle).proven == 1
        assert library().describe(handle).text("reason")[: len(UNKEPT)] == said
        library().call("ifrnet_close", handle)


def test_an_option_that_it_does_not_know_is_refused(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["details"].update(options={"use_magic": True}))
    with pytest.raises(ArtifactError, match="use_magic"):
        load(folder, device=DEVICE)


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_int8_weights_are_never_read_as_float32(folder: Path, native_build: Path, precision: str) -> None:
    # In the program, for Python refuses it as well. The weights are of no matter: it is refused before they are read.
    options = {"use_int8_inference": False}
    edit(folder, lambda manifest: (manifest.update(precision=precision), manifest["details"].update(options=options)))
    command: list[str | Path] = [native_build / "ifrnet-program-sanitized", "describe", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "use_int8_inference: false" in done.stderr
    assert done.stderr.endswith("expected true or nothing: export it again\n")


COUNT_THREADS = """
import os, sys, numpy, runtimes
count = lambda: len(os.listdir("/proc/self/task"))
frame = numpy.zeros((160, 256, 3), numpy.uint8)  # large enough for its conversion to be shared among threads
before = count()
with runtimes.load(sys.argv[1], device="native/cpu", threads=int(sys.argv[2])) as runtime:
    runtime.interpolate(frame, frame)
    print(count() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads as Linux lists them")
@pytest.mark.parametrize("threads", [1, 3])
def test_a_call_takes_the_threads_it_was_given(artifact: Artifacts, threads: int) -> None:
    command: list[str | Path] = [sys.executable, "-c", COUNT_THREADS, artifact("ncnn", size="256x160"), str(threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": "4"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == threads - 1


IN_ANOTHER_PROCESS = """
import os, resource, signal, sys, threading
from ctypes import c_size_t
import numpy
from runtimes.artifact import MANIFEST, open_artifact
from runtimes.backends.native import library
from runtimes.backends.native_abi import File, Options, pointer_to
from runtimes.errors import BackendError

artifact = open_artifact(sys.argv[1])
contents = {MANIFEST: artifact.manifest.to_json().encode(), **artifact.contents}
files = (File * len(contents))(*(File.of(name, data) for name, data in contents.items()))
frame, t = numpy.full((1, 3, 96, 160), 0.5, numpy.float32), numpy.array([0.5], numpy.float32)

def opened(threads):
    return library().open_memory(files, Options.of(threads=threads, unproven=2))

def call(handle):
    output = numpy.empty_like(frame)
    inputs = map(pointer_to, (frame, frame, t))
    library().call("ifrnet_infer", handle, *inputs, c_size_t(1), pointer_to(output), c_size_t(output.size))

def refused(function, argument):
    try:
        function(argument)
    except BackendError as error:
        return print(error)
    print("it was not refused")
"""

FORK = """
parent = opened(2)
call(parent)
if (child := os.fork()) == 0:
    signal.alarm(60)
    refused(call, parent)
    refused(opened, 2)
    library().call("ifrnet_close", parent)
    call(opened(1))
    other = threading.Thread(target=lambda: (call(opened(2)), print("another thread")))
    other.start()
    other.join()
    sys.stdout.flush()
    os._exit(0)
status = os.waitpid(child, 0)[1]
call(parent)
sys.exit(status)
"""

LIMIT = """
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))  # of processes there is no limit for root
handle = opened(2)
refused(opened, 1000)
call(handle)
"""

MEMORY = """
library()
for megabytes in range(16, 200, 4):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20, resource.RLIM_INFINITY))
    try:
        handle = opened(1)
        try:
            call(handle)
        finally:
            library().call("ifrnet_close", handle)
    except MemoryError as error:
        print(error)
print("enough")
"""


def printed_by(script: str, folder: Path) -> list[str]:
    """The lines of a process that uses the library without the guards of the backend."""
    command: list[str | Path] = [sys.executable, "-c", IN_ANOTHER_PROCESS + script, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_forked_process_is_told_what_would_hang(artifact: Artifacts) -> None:
    called, opened, other = printed_by(FORK, artifact("ncnn"))
    assert re.fullmatch(r"this runtime was opened by process \d+, .* was forked: open the artifact again here", called)
    assert re.search(r"this thread had computed with 2 threads, and would wait .* options.threads = 1", opened)
    assert other == "another thread"


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="limits memory as Linux counts it")
def test_threads_that_cannot_be_started_are_an_error(artifact: Artifacts) -> None:
    (said,) = printed_by(LIMIT, artifact("ncnn"))
    assert re.search(r"start \d+ of the 1000 threads that are asked for: open it with a smaller options.threads", said)


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="limits memory as Linux counts it")
def test_memory_that_runs_out_while_it_loads_is_an_error(artifact: Artifacts) -> None:
    *refusals, last = printed_by(MEMORY, artifact("ncnn"))
    assert any(said.startswith("not enough memory to load ") for said in refusals)
    assert all(said.startswith("not enough memory") for said in refusals)
    assert last == "enough"


def test_the_layers_of_every_artifact_are_built_in(artifact: Artifacts) -> None:
    text = (ROOT / "runtimes" / "native" / "cmake" / "ncnn.cmake").read_text()
    listed = re.search(r"set\(IFRNET_PARAM_LAYERS ([^)]*)\)", text)
    assert listed is not None
    made = [artifact("ncnn", precision=precision) for precision in (Precision.FP32, Precision.FP16)]
    made += [artifact("ncnn", size="79x51"), artifact("ncnn", size="64x48", scale=0.5)]
    made += [artifact("ncnn", model=f"random:{name}", size="32x32") for name in ("ifrnet", "ifrnet_l")]
    made += [artifact("ncnn", model="ifrnet_s", precision=Precision.INT8)]
    params = [open_artifact(path).text(".param") for path in made]
    used = {line.split()[0] for param in params for line in param.splitlines()[2:] if line.strip()}
    assert used <= set(listed[1].split()), "cmake/ncnn.cmake lacks layers that the exporter writes"


def test_what_runs_ncnn_artifacts() -> None:
    assert [module.ABOUT.name for module in runners("ncnn")] == ["ncnn", "native"]


def test_careless_calls_do_no_harm(folder: Path, native_build: Path) -> None:
    # Without a GPU's driver, which leaks.
    environment = {**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1", "VK_DRIVER_FILES": "none"}
    done = subprocess.run(
        [native_build / "abi_probe", folder], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^(\d+) passed, 0 failed$", done.stdout, re.MULTILINE), done.stdout


def test_memory_that_runs_out_inside_the_pool_is_no_harm(native_build: Path) -> None:
    done = subprocess.run([native_build / "memory_probe"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def forget(folder: Path) -> None:
    """As the artifact would be on a machine that never saw it."""
    edit(folder, lambda manifest: manifest.update(parity=[]))


def scramble_weights(folder: Path) -> None:
    """A faithful-looking artifact of another network."""
    import hashlib

    path = folder / "model.bin"
    data = bytearray(path.read_bytes())
    weights = np.frombuffer(data, np.float32, offset=4, count=200)
    weights += 0.05
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    edit(folder, lambda manifest: manifest["files"]["model.bin"].update(sha256=digest))
