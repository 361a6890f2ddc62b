from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed import worker as module
from benchmarks.speed.worker import PEAK, Worker, WorkerError
from runtimes.errors import BackendError


class Subject:
    """What lives in the other process."""

    def __init__(self, ready: str) -> None:
        self.ready = ready
        self.kept: list[np.ndarray] = []

    def double(self, x: np.ndarray) -> np.ndarray:
        return 2 * x

    def allocate(self, megabytes: int) -> None:
        self.kept.append(np.ones(megabytes * 10**6, np.uint8))

    def die(self) -> None:
        os.write(2, b"native: out of luck\n")
        os.kill(os.getpid(), signal.SIGSEGV)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def chatter(self) -> int:
        print("noise")
        os.write(1, b"native noise\n")
        return os.getpid()


def refuse() -> Subject:
    raise BackendError("no such device: install a driver")


def break_down() -> Subject:
    raise ValueError("a bug")


def test_calls_travel_and_arrays_come_back(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Worker(Subject, "set", log=tmp_path / "log") as worker:
        assert worker.answer() == "set"
        assert worker.call("double", np.arange(3)).tolist() == [0, 2, 4]
        assert worker.call("chatter") != os.getpid()
    assert capfd.readouterr() == ("", "")
    assert (tmp_path / "log").read_text().count("noise") == 2


def test_peak_memory_is_that_of_the_process_alone(tmp_path: Path) -> None:
    ballast = np.ones(300 * 10**6, np.uint8)  # of the parent: must not show
    with Worker(Subject, "set", log=tmp_path / "log") as worker:
        worker.answer()
        before = worker.call(PEAK)
        worker.call("allocate", 200)
        after = worker.call(PEAK)
    assert before < 200 < len(ballast) / 1e6
    assert 190 < after - before < 230


def test_a_crash_becomes_a_reason(tmp_path: Path) -> None:
    with Worker(Subject, "set", log=tmp_path / "log") as worker:
        worker.answer()
        with pytest.raises(WorkerError, match=r"its process died \(SIGSEGV\): .*out of luck"):
            worker.call("die")
        with pytest.raises(WorkerError, match="its process died"):
            worker.call("double", 1)


def test_errors_keep_their_message_and_bugs_their_type(tmp_path: Path) -> None:
    with Worker(refuse, log=tmp_path / "a") as worker, pytest.raises(WorkerError) as caught:
        worker.answer()
    assert str(caught.value) == "no such device: install a driver"
    with Worker(break_down, log=tmp_path / "b") as worker, pytest.raises(WorkerError) as caught:
        worker.answer()
    assert str(caught.value) == "ValueError: a bug"


def test_a_hang_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Worker(Subject, "set", log=tmp_path / "log") as worker:
        worker.answer()
        monkeypatch.setattr(module, "TIMEOUT_S", 0.2)
        with pytest.raises(WorkerError, match="no answer within 0 s"):
            worker.call("sleep", 60.0)


def test_a_call_may_have_less_time(tmp_path: Path) -> None:
    with Worker(Subject, "set", log=tmp_path / "log") as worker:
        assert worker.answer(float("inf")) == "set"
        assert worker.alive
        with pytest.raises(WorkerError, match="no answer within 0 s"):
            worker.call("sleep", 60.0, timeout_s=0.2)
        assert not worker.alive
