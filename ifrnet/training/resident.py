"""Training data that stays on the device that trains: a GPU learns faster than a loader's workers make samples.

Clips are copied there once and cut there; of synthetic scenes the processor draws a few hundred numbers a step, and
PyTorch cuts the pictures, draws the masks and renders, all scenes of a step at once
(:mod:`ifrnet.training.resident_scenes`). Step n is a function of the seed and n alone, as it is with the loader. Clips
are those that the loader would give, to the bit; scenes are others of the same kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

import numpy as np
import torch

from ifrnet.training.clips import Clips
from ifrnet.training.errors import TrainingError
from ifrnet.training.resident_scenes import ResidentPictures, ResidentScenes, turned
from ifrnet.training.samples import Augmentation, Batch
from ifrnet.training.stream import Mixture
from ifrnet.training.synthetic import SyntheticMotion

AHEAD = 2
"""Batches made before they are asked for."""

CHUNK = 256
"""Clips copied at a time."""

Item = TypeVar("Item")


class ResidentClips:
    """Prepared clips on the device."""

    def __init__(self, clips: Clips, crop: int, device: torch.device) -> None:
        """Copies all clips.

        Raises:
            TrainingError: the device has no room, or a reference flow is wanted: estimators run in the loader.
        """
        if clips.estimated:
            raise TrainingError(
                "clips that stay on the device have no estimated flow: give --distillation-weight 0 --estimated-trust 0"
            )
        self._clips, self._crop = clips, crop
        try:
            self._array = torch.empty(clips.shape, dtype=torch.uint8, device=device)
        except RuntimeError as error:  # also torch.OutOfMemoryError
            size = float(np.prod(clips.shape)) / 2**30
            raise TrainingError(
                f"{device} has no room for {size:.1f} GiB of clips: train without --resident"
            ) from error
        for start in range(0, len(self._array), CHUNK):
            part = np.array(clips.array[start : start + CHUNK])
            self._array[start : start + len(part)] = torch.from_numpy(part)

    def batch(self, draws: Sequence[tuple[int, np.random.Generator]], augmentation: Augmentation) -> Batch:
        """The samples that the loader would make of these indices and generators."""
        cuts, times, turns = [], [], []
        room = self._array.shape[2] - self._crop
        for _, rng in draws:
            clip, triplet = self._clips.place(rng)
            top, left = int(rng.integers(room + 1)), int(rng.integers(room + 1))
            piece = self._array[clip, :, top : top + self._crop, left : left + self._crop]
            cuts += [piece[triplet.first], piece[triplet.middle], piece[triplet.last]]
            turns.append(augmentation.draw(rng))
            times.append(1.0 - triplet.t if turns[-1].time else triplet.t)
        frames = torch.stack(cuts).view(-1, 3, *cuts[0].shape).permute(0, 1, 4, 2, 3)  # (N, 3 frames, 3, S, S)
        device = frames.device
        frames = turned(frames, turns)
        backwards = torch.tensor([turn.time for turn in turns], device=device)
        frames = torch.where(backwards.view(-1, 1, 1, 1, 1), frames.flip(1), frames).float() / 255.0
        t = torch.tensor(times, dtype=torch.float32, device=device).view(-1, 1, 1, 1)
        img0, truth, img1 = frames.unbind(dim=1)
        none = torch.zeros_like(truth[:, :2])
        return Batch(img0, img1, truth, t, none, none, torch.zeros_like(t))


class ResidentMixture:
    """What a :class:`Mixture` draws from, on the device."""

    def __init__(self, mixture: Mixture, device: torch.device, held: dict[int, ResidentPictures]) -> None:
        """``held``: pictures that are there already, by their id; what else is needed is added.

        Raises:
            TrainingError: a source that cannot be held there.
        """
        self._mixture, self._device = mixture, device
        self._parts: list[ResidentClips | ResidentScenes] = []
        for source in mixture.sources:
            if isinstance(source.data, Clips):
                self._parts.append(ResidentClips(source.data, mixture.side, device))
            elif isinstance(source.data, SyntheticMotion):
                pictures = source.data.pictures
                if id(pictures) not in held:
                    held[id(pictures)] = ResidentPictures(pictures, device)
                self._parts.append(ResidentScenes(held[id(pictures)], source.data.options))
            else:
                raise TrainingError(
                    f"--resident holds synthetic motion and prepared clips; --data {source.name}= needs the loader: "
                    "leave --resident out"
                )

    def batches(self, sampler: Iterable[list[int]]) -> Iterator[Batch]:
        """The batches of the sampler's steps, in order; on a GPU they are made while the step before is in work."""
        made = self._made(sampler)
        return _on_a_stream(made, self._device) if self._device.type == "cuda" else made

    def _made(self, sampler: Iterable[list[int]]) -> Iterator[Batch]:
        mixture = self._mixture
        for indices in sampler:
            parts = []
            for number, part in enumerate(self._parts):
                mine = [index for index in indices if mixture.source_of(index) == number]
                if not mine:
                    continue
                if isinstance(part, ResidentClips):
                    draws = [(index, np.random.default_rng((mixture.seed, index))) for index in mine]
                    parts.append(part.batch(draws, mixture.augmentation))
                else:
                    rng = np.random.default_rng((mixture.seed, mine[0]))
                    parts.append(part.batch(len(mine), rng, mixture.augmentation))
            yield Batch(*(torch.cat(fields) for fields in zip(*parts, strict=True))) if len(parts) > 1 else parts[0]


def _on_a_stream(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """``batches``, made on a stream of their own: every number that the processor sends waits for its stream."""
    cuda: Any = torch.cuda  # its streams and events have no types
    cuda.synchronize(device)  # what the batches are made of is there

    def made() -> Iterator[tuple[Batch, Any]]:
        for batch in batches:
            done = cuda.Event()
            done.record()
            yield batch, done

    for batch, done in ahead(made(), lambda: cuda.stream(cuda.Stream(device))):
        stream = cuda.current_stream(device)
        stream.wait_event(done)
        for field in batch:
            field.record_stream(stream)
        yield batch


def ahead(items: Iterator[Item], within: Callable[[], AbstractContextManager[object]]) -> Iterator[Item]:
    """``items``, taken by a thread before they are asked for, up to :data:`AHEAD` of them.

    Args:
        items: what it raises is raised here.
        within: opens a context of that thread, in which they are taken.
    """
    ready: Queue[tuple[Item] | BaseException | None] = Queue(maxsize=AHEAD)
    stopped = Event()

    def put(item: tuple[Item] | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
            except Full:
                continue
            return True
        return False

    def take() -> None:
        try:
            with within():
                for item in items:
                    if not put((item,)):
                        return
            put(None)
        except BaseException as error:  # told where the item is asked for
            put(error)

    Thread(target=take, daemon=True).start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item[0]
    finally:
        stopped.set()
