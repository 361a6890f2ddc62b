"""The warp of the native library, the rewrite of a network to it, and the file of compiled shaders."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

NO_DEVICE = 3
"""Exit code of the probe where there is no Vulkan device."""

CANCELLED = -1001

FLOAT32_ERROR = 2e-5
"""Of values from -1 to 1 at positions up to 37, which float32 holds to 2e-6: neighbours differ by up to 2."""

FLOAT16_ERROR = 6e-4
"""Half a step of float16 below 1 is 2.4e-4; the rest is for sums that are rounded the other way."""

CHANNELS = (3, 4, 8, 16, 54)

SIZE = (8, 6)
"""Width and height of the small network below."""


def probe(build: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run tests/native/warp_probe.cpp; skips where it needs a Vulkan device and there is none."""
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # the Vulkan driver keeps memory to its end
    run = subprocess.run([build / "warp_probe", *arguments], capture_output=True, text=True, env=env, timeout=600)
    if run.returncode == NO_DEVICE:
        pytest.skip("no Vulkan device: install a driver (Debian: mesa-vulkan-drivers)")
    return run


def errors(build: Path, device: str) -> dict[str, float]:
    """Form of the warp -> its largest error."""
    run = probe(build, "errors", device)
    assert run.returncode == 0, run.stderr
    pairs = (line.rpartition(" ") for line in run.stdout.splitlines())
    return {name: float(error) for name, _, error in pairs}


def test_warp_on_the_cpu_is_that_of_double_precision(native_build: Path) -> None:
    """In every packing, whatever the net stores: positions and sums are float32."""
    found = errors(native_build, "cpu")
    expected = {
        f"cpu {p} {kind} {c}" for p in ("fp32", "fp16") for kind in ("GridSample", "IfrnetWarp") for c in CHANNELS
    }
    assert set(found) == expected | {f"cpu pack{pack} IfrnetWarp" for pack in (1, 4, 8, 16)}
    assert {name: error for name, error in found.items() if not error < FLOAT32_ERROR} == {}


def test_warp_on_vulkan_is_that_of_double_precision(native_build: Path) -> None:
    """Elements of one channel and of four; in float16 only what is stored is rounded, no position is."""
    found = errors(native_build, "vulkan")
    kinds = [f"{p} {kind} {c}" for p in ("fp32", "fp16") for kind in ("GridSample", "IfrnetWarp") for c in CHANNELS]
    assert set(found) == {f"vulkan {kind}" for kind in [*kinds, "float flow 3", "float flow 8"]}
    limits = {name: FLOAT32_ERROR if "fp32" in name else FLOAT16_ERROR for name in found}
    assert {name: error for name, error in found.items() if not error < limits[name]} == {}


@pytest.mark.parametrize("device", ["cpu", "vulkan"])
def test_cancelled_warp_ends_the_extraction(native_build: Path, device: str) -> None:
    """Both forms give their code to whoever extracts."""
    run = probe(native_build, "cancel", device)
    assert run.stdout.split() == ["GridSample", str(CANCELLED), "IfrnetWarp", str(CANCELLED)]


@pytest.mark.parametrize(
    ("parameters", "refused"),
    [
        ("0=1 1=2 2=1 3=1", False),
        ("0=2 1=2 2=1 3=1", True),  # nearest
        ("0=1 1=1 2=1 3=1", True),  # zeros outside
        ("0=1 1=2 2=0 3=1", True),  # corners not aligned
        ("0=1 1=2 2=1 3=0", True),  # grid (h, w, 2)
    ],
)
def test_other_grid_samples_are_refused(native_build: Path, parameters: str, *, refused: bool) -> None:
    """The shader knows one kind of sampling, so no other may be loaded by mistake."""
    run = probe(native_build, "load", "cpu", "GridSample", *parameters.split())
    assert (run.stdout.strip() != "0") is refused


def small_network(folder: Path, *, scale: float = 1.0, half: bool = False) -> list[str]:
    """Arguments that name a network with one warp, as the exporter writes it; its flow is what in1 holds.

    Args:
        folder: where to write it.
        scale: 1 for a grid of pixels.
        half: with the marks and the bridge of a float16 network.
    """
    w, h = SIZE
    mark = " 31=23" if half else ""
    flow = "flow_float32" if half else "flow"
    lines = [
        f"Input in0 0 1 in0 0={w} 1={h} 2=3",
        f"Input in1 0 1 in1 0={w} 1={h} 2=3",
        "Input in2 0 1 in2",
        "Slice slice 1 2 in1 flow rest -23300=2,2,-233 1=0",
        *(["Power bridge 1 1 flow flow_float32"] if half else []),
        f"MemoryData scale 0 1 scale 0={w} 1=1 2=2{mark}",
        f"MemoryData across 0 1 across 0={w} 1=1 2=2{mark}",
        f"MemoryData down 0 1 down 0=1 1={h} 2=2{mark}",
        f"BinaryOp mul 2 1 {flow} scale step 0=2{mark}",
        f"BinaryOp add_0 2 1 step across part 0=0{mark}",
        f"BinaryOp add_1 2 1 part down grid 0=0{mark}",
        "GridSample warp 2 1 in0 grid out0 0=1 1=2 2=1 3=1",
    ]
    blobs = sum(int(line.split()[3]) for line in lines)
    (folder / "model.param").write_text(f"7767517\n{len(lines)} {blobs}\n" + "\n".join(lines) + "\n")
    steps = np.repeat(np.array([[2 / (w - 1)], [2 / (h - 1)]]) * scale, w, axis=1)
    across = np.stack([np.linspace(-1, 1, w), np.zeros(w)])
    down = np.stack([np.zeros(h), np.linspace(-1, 1, h)])
    values = np.concatenate([steps.ravel(), across.ravel(), down.ravel()])
    (folder / "model.bin").write_bytes(values.astype("<f4").tobytes())
    return [str(folder / "model.param"), str(folder / "model.bin")]


def kinds(run: subprocess.CompletedProcess[str]) -> list[str]:
    """Layer types of what the probe printed."""
    assert run.returncode == 0, run.stdout
    return [line.split()[0] for line in run.stdout.splitlines()[2:]]


def test_grid_becomes_flow_in_pixels(native_build: Path, tmp_path: Path) -> None:
    """The arithmetic of the grid goes, its constants stay: weights are read in the order of the layers."""
    run = probe(native_build, "rewrite", *small_network(tmp_path), "cpu", "fp32")
    assert kinds(run) == ["Input"] * 3 + ["Slice"] + ["MemoryData"] * 3 + ["IfrnetWarp"]
    assert run.stdout.splitlines()[-1] == "IfrnetWarp warp 2 1 in0 flow out0"


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_island_stays_on_the_cpu_where_the_device_is_one(native_build: Path, tmp_path: Path, precision: str) -> None:
    """Marks and bridges are as the exporter wrote them."""
    run = probe(native_build, "rewrite", *small_network(tmp_path, half=True), "cpu", precision)
    assert "Power bridge 1 1 flow flow_float32" in run.stdout.splitlines()
    assert run.stdout.splitlines()[-1] == "IfrnetWarp warp 2 1 in0 flow_float32 out0"


def test_nothing_is_left_on_the_cpu_in_float16_on_vulkan(native_build: Path, tmp_path: Path) -> None:
    """What bit 16 kept on the CPU is float32 on the GPU, behind a cast."""
    run = probe(native_build, "rewrite", *small_network(tmp_path, half=True), "vulkan", "fp16")
    assert "Cast cast_flow_float32 1 1 flow flow_float32 0=2 1=1" in run.stdout.splitlines()
    assert "31=23" not in run.stdout
    assert "31=7" in run.stdout


def test_no_mark_is_left_in_float32_on_vulkan(native_build: Path, tmp_path: Path) -> None:
    """Nothing to convert: the bridge goes as well."""
    run = probe(native_build, "rewrite", *small_network(tmp_path, half=True), "vulkan", "fp32")
    assert "31=" not in run.stdout
    assert not {"Power", "Cast"} & set(kinds(run))


def test_a_grid_that_is_not_of_pixels_is_refused(native_build: Path, tmp_path: Path) -> None:
    """A rewrite would change what is computed."""
    run = probe(native_build, "rewrite", *small_network(tmp_path, scale=1.001), "cpu", "fp32")
    assert run.returncode == 1
    assert "layer warp has a grid that is not from -1 to 1" in run.stdout


def test_sealed_file_is_read_again(native_build: Path, tmp_path: Path) -> None:
    """Folders are made, nothing is left beside it."""
    path = tmp_path / "pipelines" / "key.bin"
    assert probe(native_build, "seal", str(path), "shaders").returncode == 0
    assert probe(native_build, "unseal", str(path)).stdout == "shaders"
    assert [file.name for file in path.parent.iterdir()] == ["key.bin"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1] + b"x",
        lambda data: data[:-1],
        lambda data: data[:30],
        lambda data: b"",
        lambda data: data * 99,
    ],
    ids=["changed", "cut", "cut seal", "empty", "too large"],
)
def test_damaged_file_is_as_good_as_none(native_build: Path, tmp_path: Path, damage: object) -> None:
    """It must not reach the driver."""
    path = tmp_path / "key.bin"
    probe(native_build, "seal", str(path), "shaders")
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    assert probe(native_build, "unseal", str(path)).stdout == ""
