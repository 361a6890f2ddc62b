"""The footage of the catalogue that shipped weights may rest on, prepared for training."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ifrnet.footage.catalogue import MEDIA, evaluation_clips, may_train, training_photographs, training_videos
from ifrnet.footage.download import fetch_all
from ifrnet.footage.video import read_frames
from ifrnet.training.clips import write_pictures
from ifrnet.training.cutting import SIDE, ClipSource, prepare

CLIPS = "clips"
PICTURES = "pictures"

STRIDES = {"bbb": 3, "sintel": 2, "box": 2, "vtest": 3, "iscc": 3}
"""Frames between clips, so that the short live-action rows are not drowned by the film."""

PER_WINDOW = {"bbb": 1, "sintel": 2, "box": 4, "vtest": 3, "iscc": 1}

PICTURE_SIDE = 1600
"""Photographs are reduced until their longer side is at most this."""

STILL_EVERY = 90
"""Every so many frames of the film, one still becomes a picture for synthetic motion."""


def prepare_openly_licensed(
    folder: Path, archives: Path | None = None, side: int = SIDE, places: int = 1
) -> tuple[int, int]:
    """Fetch, cut and store everything below ``folder``. Returns the numbers of clips and of pictures.

    ``side`` of the clips in pixels; every window gives ``places`` times as many of them.
    """
    videos, photographs = training_videos(), training_photographs()
    # Those of the evaluation too: a run that evaluates may be on a machine that cannot fetch.
    wanted = dict.fromkeys(media.name for media in (*videos, *photographs, *evaluation_clips()))
    paths = fetch_all(list(wanted), archives=archives)
    pictures = write_pictures(_pictures([paths[media.name] for media in photographs], paths["bbb"]), folder / PICTURES)
    sources = [
        ClipSource(
            name=media.name,
            path=paths[media.name],
            rows=media.rows,
            usable=partial(may_train, media),
            stride=STRIDES[media.name],
            per_window=places * PER_WINDOW[media.name],
        )
        for media in videos
    ]
    return prepare(sources, folder / CLIPS, side=side), pictures


def picture_count() -> int:
    """How many pictures ``prepare`` makes; they have no names to be known by."""
    last = max(frame for stretch in MEDIA["bbb"].skipped for frame in stretch)  # the credits end the film
    stills = sum(may_train(MEDIA["bbb"], index) for index in range(0, last + 1, STILL_EVERY))
    return len(training_photographs()) + stills


def _pictures(photographs: list[Path], film: Path) -> Iterator[NDArray[np.uint8]]:
    """Photographs, then stills of the film outside titles and evaluation."""
    from PIL import Image

    for path in photographs:
        with Image.open(path) as image:
            factor = -(-max(image.size) // PICTURE_SIDE)
            yield np.asarray(image.convert("RGB").reduce(factor))
    for index, frame in enumerate(read_frames(film)):
        if index % STILL_EVERY == 0 and may_train(MEDIA["bbb"], index):
            yield frame
