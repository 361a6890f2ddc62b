"""What OpenVINO leaves behind in the process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CODE = """
import signal, sys, threading
import runtimes

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it runs in the background ignore it
runs = [runtimes.load(sys.argv[1]) for _ in range(2)]
close = {"first in": runs, "last in": runs[::-1]}[sys.argv[2]]
if sys.argv[3] == "elsewhere":
    thread = threading.Thread(target=lambda: [run.close() for run in close])
    thread.start()
    thread.join()
else:
    [run.close() for run in close]
del runs, close
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("order", ["first in", "last in"])
@pytest.mark.parametrize("thread", ["here", "elsewhere"])
def test_ctrl_c_after_two_were_closed(
    artifact: Callable[..., Path], require_device: Callable[[str, str], None], order: str, thread: str
) -> None:
    """The plugin gives a thread another signal stack, and takes it away when it goes; a signal then had none."""
    require_device("openvino", "cpu")
    command = [sys.executable, "-c", CODE, str(artifact("openvino")), order, thread]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
