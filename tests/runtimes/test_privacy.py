"""Nothing that runs an artifact reaches for the network or starts a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]

WATCHED = ("socket.connect", "socket.getaddrinfo", "os.fork", "os.posix_spawn", "subprocess.Popen")
"""Events of Python's audit hooks."""


@pytest.fixture
def images(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "a.png", tmp_path / "b.png"
    frame = np.random.default_rng(0).integers(0, 256, (96, 160, 3), dtype=np.uint8)
    for path in paths:
        Image.fromarray(frame).save(path)
    return paths


@pytest.mark.parametrize("target", ["onnx", "openvino", "ncnn", "mnn", "litert"])
def test_python_sees_no_connection_and_no_process(target: str, artifact: Callable[..., Path]) -> None:
    code = (
        "import sys, numpy\n"
        "seen = []\n"
        f"sys.addaudithook(lambda event, _: seen.append(event) if event in {WATCHED!r} else None)\n"
        "import runtimes\n"
        "with runtimes.load(sys.argv[1], threads=1) as runtime:\n"
        "    frame = numpy.zeros((96, 160, 3), numpy.uint8)\n"
        "    runtime.interpolate(frame, frame, [0.25, 0.5])\n"
        "print(*seen)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(artifact(target))], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


@pytest.mark.parametrize("target", ["onnx", "openvino", "ncnn", "mnn", "litert"])
def test_the_system_sees_no_connection_and_no_process(
    target: str, artifact: Callable[..., Path], images: tuple[Path, Path], tmp_path: Path
) -> None:
    """The whole command line under strace, which sees what native libraries do as well."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: apt install strace")
    log, home = tmp_path / "strace.txt", tmp_path / "home"
    home.mkdir()
    trace = "connect,fork,vfork,clone,clone3"
    command = [sys.executable, "-m", "runtimes", "interpolate", *map(str, images), "-o", str(tmp_path / "out.png")]
    done = subprocess.run(
        ["strace", "-f", "-e", f"trace={trace}", "-o", str(log), *command, "--artifact", str(artifact(target))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(home)},
    )
    if "ptrace" in done.stderr and done.returncode != 0:
        pytest.skip(f"this system does not let strace work: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    text = log.read_text()
    assert re.findall(r"AF_INET6?\b", text) == []
    started = [line for line in text.splitlines() if re.search(r"\b(v?fork|clone3?)\(", line)]
    assert [line for line in started if "CLONE_THREAD" not in line] == []
    assert [path.name for path in home.iterdir() if path.name != ".cache"] == []


def test_the_cpu_of_ncnn_starts_no_vulkan_and_prints_nothing(
    artifact: Callable[..., Path], images: tuple[Path, Path], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "runtimes", "interpolate", *map(str, images), "-o", str(tmp_path / "out.png")]
    code = f"import sys, runpy; sys.argv = {['runtimes', *command[3:], '--artifact', str(artifact('ncnn'))]!r}\n"
    code += (
        "import ncnn; ncnn.get_gpu_count = ncnn.create_gpu_instance = None\n"
        "runpy.run_module('runtimes', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_looking_for_devices_prints_nothing_else() -> None:
    done = subprocess.run([sys.executable, "-m", "runtimes", "devices"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.parametrize("target", ["ncnn", "mnn", "litert"])
def test_a_forked_child_is_an_error_within_seconds(target: str, artifact: Callable[..., Path]) -> None:
    code = (
        "import multiprocessing, sys, numpy, runtimes\n"
        "def work(path):\n"
        "    try:\n"
        "        runtimes.load(path)\n"
        "    except runtimes.BackendError as error:\n"
        "        return str(error)\n"
        "frame = numpy.zeros((96, 160, 3), numpy.uint8)\n"
        "with runtimes.load(sys.argv[1]) as runtime:\n"
        "    runtime.interpolate(frame, frame)\n"
        "with multiprocessing.get_context('fork').Pool(1) as pool:\n"
        "    print(pool.apply_async(work, sys.argv[1:]).get(60))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(artifact(target))], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert 'multiprocessing.get_context("spawn")' in done.stdout
