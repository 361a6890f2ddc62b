"""Training of the coarsest decoder alone, on features that are computed once.

Decoder 4 decides whether large motion is found at all. With level 4 of the encoder it is a twenty-fifth of the network:
once a scene is rendered and encoded down to level 3, a pass over it takes a fifth of the time that this took.

Beside its flows decoder 4 hands features to decoder 3, which no loss here looks at. When the flows have been learnt,
its last layer is fitted anew: the features are again what decoder 3 knows, as far as can be, the flows what they were.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from ifrnet.model import IFRNet, pair_mean
from ifrnet.training import losses
from ifrnet.training.errors import TrainingError
from ifrnet.training.objective import TERMS
from ifrnet.training.options import Precision, TrainOptions
from ifrnet.training.samples import Batch
from ifrnet.variants import FLOW_CHANNELS, LEVELS
from runtimes.atomic import replacing

FROZEN = LEVELS - 1
"""Level of the encoder whose features are stored; nothing below it changes."""

STRIDE = 2**FROZEN
"""Pixels of a frame to one of the features, and to one of decoder 4's flows."""

SCENES = "scenes.npy"
"""In a run's folder: one record for each scene, see :func:`_record`."""

KNOWN = "known.npy"
"""Beside it: decoder 4's features of the first scenes at the start, (N, c3, S/8, S/8) float16."""

FITTED = 512
"""Scenes that the last layer's features are fitted on: 290,000 places of 577 numbers for scenes of 384 px."""

FIT_BATCH = 16
"""Scenes of the fit at a time."""

RIDGE = 1e-4
"""Of the fit, as a share of the mean square of its inputs."""

TAPS = (((1, 0), (3, -1)), ((0, 1), (2, 0)))
"""Of the transposed convolution (4, stride 2, padding 1): places in the kernel and offsets of the input, for even and
for odd outputs."""

PARITIES = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Its outputs by row and column: 0 for even, 1 for odd."""


def freeze(model: IFRNet) -> None:
    """Leave gradients to decoder 4 and to level 4 of the encoder."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith((f"encoder.pyramid{LEVELS}.", f"decoder{LEVELS}.")))


class EncodedBatch(NamedTuple):
    """Level 3's features of both frames (N, C, S/8, S/8), t (N, 1, 1, 1), flows in pixels (N, 2, S/8, S/8)."""

    features0: Tensor
    features1: Tensor
    t: Tensor
    flow0: Tensor
    flow1: Tensor

    def to(self, device: torch.device) -> EncodedBatch:
        """The same on ``device``, channels last."""
        return EncodedBatch(*(x.to(device, torch.float32, memory_format=torch.channels_last) for x in self))


class CoarsestObjective(nn.Module):
    """Features -> (7,) loss terms as of :class:`ifrnet.training.objective.Objective`, the coarse one alone not zero."""

    def __init__(self, model: IFRNet, options: TrainOptions) -> None:
        super().__init__()
        self.model = model
        self.weights = options.weights
        self.precision = options.precision

    def forward(self, batch: EncodedBatch) -> Tensor:
        """See the class."""
        low = self.precision is Precision.BFLOAT16
        with torch.autocast(batch.t.device.type, dtype=torch.bfloat16, enabled=low):
            out = decoder4(self.model, batch.features0, batch.features1, batch.t).float()
        counts = losses.by_motion(batch.flow0, batch.flow1, self.weights.flow_knee)
        counts = counts * losses.standing_out(batch.flow0, batch.flow1)
        coarse = losses.flow_error(STRIDE * out[:, 0:2], batch.flow0, counts)
        coarse = coarse + losses.flow_error(STRIDE * out[:, 2:4], batch.flow1, counts)
        terms = dict.fromkeys(TERMS, coarse.new_zeros(()))
        terms |= {"loss": self.weights.coarse * coarse, "coarse": coarse.detach()}
        return torch.stack(list(terms.values()))


class EncodedScenes:
    """Stored scenes, in another order in every epoch; half of them backwards in time."""

    def __init__(self, folder: Path, seed: int) -> None:
        """``folder``: where :func:`encode` left its file. ``seed``: of the order."""
        self.records = np.load(folder / SCENES, mmap_mode="r")
        self.seed = seed
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def __getitem__(self, index: int) -> EncodedBatch:
        """Sample ``index`` of the run: a function of it and the seed alone."""
        epoch, place = divmod(index, len(self.records))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, np.random.default_rng((self.seed, epoch)).permutation(len(self.records))
        record = self.records[self._order[place]]
        features, flows = (torch.from_numpy(np.array(record[key])) for key in ("features", "flows"))
        features = features.permute(0, 3, 1, 2)  # (2, C, S/8, S/8)
        t = torch.tensor(float(record["t"])).view(1, 1, 1)
        if np.random.default_rng((self.seed, epoch, place)).random() < 0.5:
            return EncodedBatch(features[0], features[1], t, flows[0], flows[1])
        return EncodedBatch(features[1], features[0], 1.0 - t, flows[1], flows[0])

    def batches(self, steps: Iterable[list[int]]) -> Iterator[EncodedBatch]:
        """The samples of each step, stacked."""
        for step in steps:
            yield EncodedBatch(*(torch.stack(fields) for fields in zip(*(self[i] for i in step), strict=True)))


@torch.no_grad()
def encode(model: IFRNet, scenes: Iterable[Batch], options: TrainOptions, folder: Path) -> None:
    """Store what the encoder's fixed levels make of ``options.coarsest`` scenes: half a megabyte for one of 384 px.

    Args:
        model: of this run; its fixed levels never change.
        scenes: rendered, with exact flows; ``options.wide.batch`` at a time, and enough of them.
        options: of the run.
        folder: of the run.

    Raises:
        TrainingError: the disk does not hold them.
    """
    count, low = options.coarsest, options.precision is Precision.BFLOAT16
    record = _record(options.wide.side // STRIDE, model.variant.widths[FROZEN - 1])
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = count * record.itemsize, shutil.disk_usage(folder).free
    if needed > free:
        raise TrainingError(
            f"--coarsest {count} takes {needed / 1e9:.1f} GB in {folder}, which has {free / 1e9:.1f} GB free: ask for "
            "fewer scenes or give another --folder"
        )
    with replacing(folder / KNOWN) as known_path, replacing(folder / SCENES) as path:
        records = np.lib.format.open_memmap(path, mode="w+", dtype=record, shape=(count,))
        shape = (min(count, FITTED), model.variant.widths[FROZEN - 1], *record["flows"].shape[-2:])
        known = np.lib.format.open_memmap(known_path, mode="w+", dtype=np.float16, shape=shape)
        for start, batch in zip(range(0, count, options.wide.batch), _shown(scenes, count, options), strict=False):
            mean = pair_mean(batch.img0, batch.img1)
            with torch.autocast(batch.t.device.type, dtype=torch.bfloat16, enabled=low):
                both = model.encoder(torch.cat((batch.img0 - mean, batch.img1 - mean)))[FROZEN - 1]
            each = torch.stack(both.permute(0, 2, 3, 1).chunk(2), dim=1)  # (N, 2, S/8, S/8, C)
            flows = torch.stack([F.avg_pool2d(flow, STRIDE) for flow in (batch.flow0, batch.flow1)], dim=1)
            place, size = slice(start, start + len(each)), min(len(each), count - start)
            records["features"][place] = each[:size].to("cpu", torch.float16).numpy()
            records["flows"][place] = flows[:size].cpu().numpy()
            records["t"][place] = batch.t[:size].flatten().cpu().numpy()
            if start < len(known):
                first, second = both.float().chunk(2)
                out = decoder4(model, first, second, batch.t)[:, FLOW_CHANNELS:]
                known[place] = out[: len(known) - start].to("cpu", torch.float16).numpy()
        records.flush()
        known.flush()


@torch.no_grad()
def fit_features(model: IFRNet, folder: Path) -> None:
    """Change what decoder 4's last layer makes of its inputs so that its features are those of the start again.

    Least squares over the stored scenes; each kind of output sees four taps.

    Args:
        model: of the run, changed in place.
        folder: where :func:`encode` left its files.
    """
    known, records = (np.load(folder / name, mmap_mode="r") for name in (KNOWN, SCENES))
    *trunk, last = model.get_submodule(f"decoder{LEVELS}.convblock").children()
    assert isinstance(last, nn.ConvTranspose2d)
    assert last.bias is not None
    sums: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
    for start in range(0, len(known), FIT_BATCH):
        rows = slice(start, min(start + FIT_BATCH, len(known)))
        features, t, wanted = (
            torch.from_numpy(np.array(part[rows])).to(last.weight.device).float()
            for part in (records["features"], records["t"], known)
        )
        first, second = features.permute(1, 0, 4, 2, 3)
        hidden = nn.Sequential(*trunk)(decoder4_inputs(model, first, second, t.view(-1, 1, 1, 1)))
        for kind in PARITIES:
            x = _seen(hidden, kind)
            y = wanted[:, :, kind[0] :: 2, kind[1] :: 2].permute(0, 2, 3, 1).flatten(0, 2)
            square, mixed = (x.T @ x).double(), (x.T @ y).double()
            before = sums.get(kind, (torch.zeros_like(square), torch.zeros_like(mixed)))
            sums[kind] = (before[0] + square, before[1] + mixed)
    ridge = {
        kind: RIDGE * square.diagonal().mean() * torch.eye(len(square)).to(square) for kind, (square, _) in sums.items()
    }
    # The layer has one bias: the mean of what each kind of output wants, and then the weights that are best with it.
    free = [torch.linalg.solve(square + ridge[kind], mixed)[-1] for kind, (square, mixed) in sums.items()]
    bias = torch.stack(free).mean(dim=0)  # (c3,)
    for kind, (square, mixed) in sums.items():
        left, right = (square + ridge[kind])[:-1, :-1], mixed[:-1] - torch.outer(square[:-1, -1], bias)
        fitted = torch.linalg.solve(left, right).to(last.weight.dtype)  # (4 width, c3)
        for part, (y_tap, x_tap) in zip(fitted.chunk(4), itertools.product(*(TAPS[k] for k in kind)), strict=True):
            last.weight[:, FLOW_CHANNELS:, y_tap[0], x_tap[0]] = part
    last.bias[FLOW_CHANNELS:] = bias.to(last.bias.dtype)


def decoder4_inputs(model: IFRNet, features0: Tensor, features1: Tensor, t: Tensor) -> Tensor:
    """What decoder 4 reads: level 4 of both frames and t. (N, C, S/8, S/8) twice -> (N, 2 c4 + 1, S/16, S/16)."""
    first, second = model.encoder.get_submodule(f"pyramid{LEVELS}")(torch.cat((features0, features1))).chunk(2)
    return torch.cat((first, second, t.to(first.dtype).expand(-1, 1, *first.shape[2:])), dim=1)


def decoder4(model: IFRNet, features0: Tensor, features1: Tensor, t: Tensor) -> Tensor:
    """Decoder 4's flows and features out of level 3. (N, C, S/8, S/8) twice -> (N, 4 + c3, S/8, S/8)."""
    return model.decode(LEVELS, decoder4_inputs(model, features0, features1, t))


def _seen(hidden: Tensor, kind: tuple[int, int]) -> Tensor:
    """The inputs of the last layer that each output of one kind sees, and 1. (N, C, h, w) -> (N h w, 4 C + 1)."""
    height, width = hidden.shape[2:]
    padded = F.pad(hidden, (1, 1, 1, 1))
    taps = [
        padded[:, :, 1 + y : 1 + y + height, 1 + x : 1 + x + width]
        for (_, y), (_, x) in itertools.product(*(TAPS[k] for k in kind))
    ]
    places = torch.cat(taps, dim=1).permute(0, 2, 3, 1).flatten(0, 2)
    return torch.cat((places, places.new_ones(len(places), 1)), dim=1)


def _record(side: int, channels: int) -> np.dtype[np.void]:
    """A scene: level 3's features of frames 0 and 1, flows from time t to both in pixels, averaged, and t."""
    return np.dtype(
        [
            ("features", np.float16, (2, side, side, channels)),
            ("flows", np.float32, (2, 2, side, side)),
            ("t", np.float32),
        ]
    )


def _shown(scenes: Iterable[Batch], count: int, options: TrainOptions) -> Iterable[Batch]:
    steps = -(-count // options.wide.batch)
    return track(scenes, total=steps, description="scenes", console=Console(stderr=True), transient=True)
