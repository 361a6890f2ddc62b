"""A backend that silently stops running fails the session: what ``IFRNET_EXPECT_BACKENDS`` promises, tried on one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtimes.registry import BACKENDS, backend

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", BACKENDS)
def test_a_missing_backend_says_why(name: str) -> None:
    module = backend(name)
    if reason := module.missing():
        assert "pip install" in reason or "make native" in reason or "Apple's systems" in reason
        pytest.skip(reason)
    usable = [device for device in module.devices() if not device.reason]
    for device in module.devices():
        assert device.reason or device.description, f"{device.name} is missing without a reason"
    if not usable:
        pytest.skip("; ".join(f"{device.name}: {device.reason}" for device in module.devices()))


@pytest.mark.parametrize(
    ("expected", "code", "message"),
    [
        ("", 0, "backends that ran: none"),
        ("onnxruntime", 1, "did not run: onnxruntime; not expected: none"),
        ("onnxruntime,ncnn:cpu", 1, "did not run: ncnn:cpu,onnxruntime; not expected: none"),
    ],
)
def test_a_backend_that_did_not_run_fails_the_session(expected: str, code: int, message: str) -> None:
    here = "tests/test_coverage_of_backends.py::test_this_much_always_passes"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--import-mode=importlib", "-q", "-p", "no:cacheprovider", here],
        cwd=ROOT,
        env={**os.environ, "IFRNET_EXPECT_BACKENDS": expected, "COVERAGE_PROCESS_START": ""},
        capture_output=True,
        text=True,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert message in done.stdout
    assert done.returncode == code


def test_this_much_always_passes() -> None:
    """For the sessions above."""
    assert BACKENDS
