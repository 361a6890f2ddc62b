"""ExecuTorch on the CPU, in a process of its own: its Python package imports PyTorch.

The process is told through a pipe and answers through another: first the length of the file, the number of threads and
the file, answered by one line of JSON; then the inputs as float32, answered by such a line and the output. An answer
with ``error`` says what failed.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import math
import os
import struct
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from runtimes.artifact import Artifact
from runtimes.backends.native_library import ForkGuard
from runtimes.base import Runtime
from runtimes.device import About, Device
from runtimes.environment import available_cores
from runtimes.errors import BackendError, DeviceUnavailableError
from runtimes.frames import Array
from runtimes.printable import MAX_REASON, one_line
from runtimes.tuning import Choices, Tuning

ABOUT = About(
    name="executorch",
    title="ExecuTorch",
    modules=("executorch",),
    distributions=("executorch",),
    extra="executorch",
    colour="#cc79a7",
)

DEFAULT_DEVICE = "cpu"

SETTINGS: Choices = {}
"""XNNPACK has none that its Python package sets."""

DELEGATES = {"cpu": "xnnpack", "vulkan:0": "vulkan"}
"""Device -> the delegate, in the manifest, of the files that it runs."""

START_S = 300.0
"""Importing ExecuTorch and PyTorch takes 4 s on a quiet machine."""

ANSWER_S = 600.0

WORKER = Path(__file__).with_name("executorch_worker.py")


def missing() -> str:
    """Why ExecuTorch cannot be used here; empty when it can."""
    if importlib.util.find_spec("executorch") is None:
        return "executorch is not installed: pip install 'ifrnet-export[executorch]'"
    return ""


def devices() -> list[Device]:
    """The CPU, and the GPU that files for Vulkan want."""
    about = f"ExecuTorch {importlib.metadata.version('executorch')}"
    lacks = "ExecuTorch's package for Python has no Vulkan: such a file runs on a phone"
    return [Device(name="cpu", description=f"{about}, XNNPACK"), Device(name="vulkan:0", reason=lacks)]


def open_runtime(artifact: Artifact, device: str, tuning: Tuning) -> Runtime:
    """Load ``model.pte`` in a process of its own.

    Raises:
        BackendError: ExecuTorch cannot load it.
        DeviceUnavailableError: the file is for another device.
    """
    delegate = artifact.manifest.details.get("delegate")
    if delegate != DELEGATES[device]:
        raise DeviceUnavailableError(
            f"{artifact.manifest.name} is for ExecuTorch's delegate {delegate}, and {device} runs files for "
            f"{DELEGATES[device]}"
        )
    return ExecutorchRuntime(artifact, device, tuning)


class ExecutorchRuntime(Runtime):
    """A process that holds the method ``forward`` of a file. Several t of a pair are whole runs: it has no halves."""

    def __init__(self, artifact: Artifact, device: str, tuning: Tuning) -> None:
        self._process = Process(artifact, tuning.threads or available_cores())
        try:
            artifact.check_sizes(self._process.inputs[:2])
        except BaseException:
            self._process.end()
            raise
        arithmetic = str(artifact.manifest.precision)  # of the file, which export has read back
        super().__init__(artifact.manifest, backend="executorch", device=device, arithmetic=arithmetic, tuning=tuning)

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        return self._process.run((img0, img1, t))

    def _close(self) -> None:
        self._process.end()


class Process:
    """The process: started with the file, asked, and ended; what it prints is kept in a file without a name.

    Raises:
        BackendError: it cannot load the file.
    """

    def __init__(self, artifact: Artifact, threads: int) -> None:
        self._forks = ForkGuard("this runtime of ExecuTorch")
        self._forks.check()
        self._heard = 0
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _end
        self._child = subprocess.Popen(
            [sys.executable, "-P", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
        )
        # Also where the runtime is dropped without being closed: the process would stay as a zombie.
        self._end = weakref.finalize(self, _end, self._child, self._printed, os.getpid())
        try:
            model = artifact.data(".pte")
            with self._within(START_S):
                self._tell(struct.pack("<QI", len(model), threads), model)
                about = self._answer()
        except BaseException as error:
            self.end()
            if isinstance(error, BackendError):
                raise BackendError(
                    f"ExecuTorch cannot load {artifact.folder} ({error}): export it again with this version"
                ) from error
            raise
        self.inputs: list[list[int]] = about["inputs"]
        self.threads: int = about["threads"]
        self._heard = self._printed.seek(0, os.SEEK_END)

    def run(self, arrays: Sequence[NDArray[np.float32]]) -> Array:
        """The output for some inputs, in the shapes of :attr:`inputs`.

        Raises:
            BackendError: ExecuTorch failed, or its process ended or did not answer in time.
        """
        self._forks.check()
        if [list(array.shape) for array in arrays] != self.inputs:
            raise BackendError(f"ExecuTorch takes {self.inputs}, not {[list(array.shape) for array in arrays]}")
        try:
            with self._within(ANSWER_S):
                self._tell(*arrays)
                about = self._answer()
                data = self._read(math.prod(about["shape"]) * np.dtype(about["type"]).itemsize)
        except BackendError:  # an answer too, or there is no process
            raise
        except BaseException:  # Ctrl-C: the answer stays in the pipe, and would be taken for that of the next frame
            self.end()
            raise
        return np.frombuffer(data, about["type"]).reshape(about["shape"])

    def end(self) -> None:
        """Kill the process and wait for it. Ending twice is fine."""
        self._end()

    def _tell(self, *parts: bytes | NDArray[np.float32]) -> None:
        pipe = self._pipe(self._child.stdin)
        try:
            for part in parts:
                pipe.write(part if isinstance(part, bytes) else part.data.cast("B"))
            pipe.flush()
        except OSError as error:  # a pipe that nobody reads
            raise self._ended() from error

    def _answer(self) -> dict[str, Any]:
        line = self._pipe(self._child.stdout).readline()
        if not line.endswith(b"\n"):
            raise self._ended()
        about: dict[str, Any] = json.loads(line)
        if "error" in about:
            told = self._last_line()
            raise BackendError(one_line("; ".join(filter(None, (about["error"], told))), MAX_REASON))
        return about

    def _read(self, count: int) -> bytearray:
        data = bytearray(count)
        view, pipe = memoryview(data), self._pipe(self._child.stdout)
        while view:
            got = pipe.readinto(view)  # type: ignore[attr-defined]
            if not got:
                raise self._ended()
            view = view[got:]
        return data

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        if pipe is None or pipe.closed:
            raise BackendError("ExecuTorch's process is ended: load the artifact again")
        return pipe

    @contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        """Kill the process when it takes longer: what waits for its answer is then told that it ended."""
        late, child = threading.Event(), self._child  # no self: the timer's thread may outlive this runtime

        def kill() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        except BackendError as error:
            if late.is_set():
                raise BackendError(f"ExecuTorch's process did not answer within {seconds:g} s") from error
            raise
        finally:
            timer.cancel()

    def _ended(self) -> BackendError:
        """What to raise where the process is gone."""
        self._child.kill()  # whatever it is that does not read or write any more
        code = self._child.wait()
        how = f"signal {-code}" if code < 0 else f"code {code}"
        told = self._last_line()
        return BackendError(f"ExecuTorch's process ended with {how}" + (f": {told}" if told else ""))

    def _last_line(self) -> str:
        """The last line that the process printed; once the file is loaded, since then."""
        size = self._printed.seek(0, os.SEEK_END)
        self._printed.seek(max(self._heard, size - 4096))
        lines = self._printed.read().decode(errors="replace").split("\n")
        return one_line(next((line for line in reversed(lines) if line.strip()), "").strip(), MAX_REASON)


def _end(child: subprocess.Popen[bytes], printed: IO[bytes], owner: int) -> None:
    """Kill a process and wait for it, in the process that started it; in one forked from that, let go of its pipes."""
    if os.getpid() == owner:
        child.kill()
        child.wait()
    for file in (child.stdin, child.stdout, printed):
        if file is not None:
            with suppress(OSError):  # of what was not told yet
                file.close()
