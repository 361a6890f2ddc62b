"""The parts of the native library, compiled once a session with AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "runtimes" / "native"

PARTS = (
    "artifact",
    "decimal",
    "error",
    "json",
    "kernels",
    "machine",
    "network",
    "parameters",
    "parse_json",
    "proof",
    "replace",
    "scene",
    "sha256",
    "shape_text",
    "shapes",
    "threads",
    "verdicts",
)
"""Sources that need nothing of ncnn."""

FLAGS = ("-std=c++17", "-O1", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror")

SANITIZE = ("-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

Probe = Callable[..., bytes]

Refusal = Callable[..., str]


BUILT = ROOT.parents[1] / "build" / "native"


@pytest.fixture(scope="session")
def native_build() -> Path:
    """The build folder of ``make native``, with the programs that the tests run."""
    return _built(BUILT / "host", "ifrnet-program-sanitized", "make native")


@pytest.fixture(scope="session")
def native_prefix() -> Path:
    """What ``make native`` installed."""
    return _built(BUILT / "prefix", "include/ifrnet.h", "make native")


@pytest.fixture(scope="session")
def native_program(native_prefix: Path) -> Path:
    """The program ``ifrnet``."""
    return native_prefix / "bin" / "ifrnet"


@pytest.fixture(scope="session")
def arm64_program() -> Path:
    """The static program for ARM64."""
    return _built(BUILT / "arm64", "ifrnet", "make native-arm64") / "ifrnet"


def _built(folder: Path, file: str, command: str) -> Path:
    if not (folder / file).is_file():
        pytest.skip(f"{file} is not built: {command}")
    return folder


@pytest.fixture(scope="session")
def compiler() -> str:
    """A C++ compiler, or the tests are skipped."""
    found = shutil.which("g++") or shutil.which("c++") or shutil.which("clang++")
    if found is None:
        pytest.skip("there is no C++ compiler here")
    return found


@pytest.fixture(scope="session")
def probe_file(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``probe.cpp`` and the parts, as a program."""
    folder = tmp_path_factory.mktemp("probe")
    include = ("-I", str(ROOT / "include"), "-I", str(ROOT / "src"))

    def build(source: Path) -> Path:
        target = folder / f"{source.stem}.o"
        command = [compiler, *FLAGS, *SANITIZE, *include, "-c", str(source), "-o", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return target

    sources = [Path(__file__).with_name("probe.cpp"), *(ROOT / "src" / f"{part}.cpp" for part in PARTS)]
    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(build, sources))
    program = folder / "probe"
    subprocess.run([compiler, *SANITIZE, *map(str, objects), "-o", str(program)], check=True)
    return program


@pytest.fixture(scope="session")
def probe(probe_file: Path) -> Probe:
    """``probe(subcommand, ..., data=bytes)`` gives what it prints; a finding of a sanitizer fails the test."""

    def run(*words: object, data: bytes = b"") -> bytes:
        done = _run(probe_file, words, data)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def refusal(probe_file: Path) -> Refusal:
    """The same where it must refuse what it is given: the sentence."""

    def run(*words: object, data: bytes = b"") -> str:
        done = _run(probe_file, words, data)
        message = done.stderr.decode()
        assert done.returncode == 1, done.stdout + done.stderr
        assert message.startswith(("error ", "invalid: ")), message
        assert message.count("\n") == 1, message
        return message.strip()

    return run


def _run(program: Path, words: tuple[object, ...], data: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([str(program), *map(str, words)], input=data, capture_output=True, check=False)


@pytest.fixture(scope="session")
def native_artifact(artifact: Callable[..., Path], probe: Probe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ncnn artifact with a record of this machine beside it."""
    folder = tmp_path_factory.mktemp("native") / "artifact"
    shutil.copytree(artifact("ncnn"), folder)
    machine = probe("machine").decode()
    probe("keep", folder, "", "mean", data=f'{{"device": "cpu", "arithmetic": "fp32", "machine": {machine}}}'.encode())
    return folder
