from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.__main__ import main
from benchmarks.speed.complexity import LiveMemory, complexity, multiply_adds
from ifrnet.variants import VARIANTS
from runtimes.contract import Size

HD = Size(1280, 720)


@pytest.mark.parametrize(
    ("name", "gmac", "parameters"),
    [("ifrnet_s", 101, 2_803_610), ("ifrnet", 178, 4_959_692), ("ifrnet_l", 706, 19_699_460)],
)
def test_known_figures(name: str, gmac: int, parameters: int) -> None:
    found = complexity(VARIANTS[name], HD)
    assert round(found.macs / 1e9) == gmac
    assert found.parameters == parameters
    shares = {stage.name: stage.macs / found.macs for stage in found.stages}
    assert shares["decoder1"] == pytest.approx(0.475, abs=0.01)
    assert shares["encoder"] == pytest.approx(0.07, abs=0.005)


def test_small_frames_are_padded() -> None:
    found = complexity(VARIANTS["ifrnet_s"], Size(50, 33))
    assert found.padded == Size(64, 48)
    assert found.macs == complexity(VARIANTS["ifrnet_s"], Size(64, 48)).macs


@pytest.mark.parametrize(
    "module", [nn.Conv2d(6, 8, 3, 2, 1), nn.Conv2d(6, 8, 5, groups=2), nn.ConvTranspose2d(6, 8, 4, 2, 1)]
)
def test_one_convolution_against_torch(module: nn.Module) -> None:
    x = torch.zeros(2, 6, 12, 10)
    counter = FlopCounterMode(display=False)
    with counter:
        y = module(x)
    assert 2 * multiply_adds(module, x, y) == counter.get_total_flops()


def test_memory_alive_at_once() -> None:
    x = torch.zeros(1000, device="meta")
    with LiveMemory(x) as memory:
        y = x + 1.0  # 8000 bytes
        z = y[10:].reshape(3, -1)  # views
        del y, z
        y = x * 2.0  # still 8000: the first is gone
        w = y - 1.0  # 12000
        del y
        assert memory.live == 8000
    assert memory.peak == 12000
    assert w.shape == (1000,)


def test_the_command_writes_plain_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.json"
    assert main(["parameters", "--variants", "ifrnet_s", "--json", str(path)]) == 0
    (found,) = json.loads(path.read_text())
    assert found["flops"] == 2 * found["macs"] == 2 * sum(stage["macs"] for stage in found["stages"])
    out = capsys.readouterr().out
    assert "101.2 GMAC = 202.4 GFLOP" in out
    assert '0.12 T "FLOPs"' in out
