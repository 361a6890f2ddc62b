"""The artifact of a command where the user names none, and what the user is told of it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from runtimes.contract import Size
from runtimes.registry import best
from runtimes.shipped import FOLDER

HELP = (
    "artifact folder, made by python -m export (default: the fastest of those that come with this package, listed by "
    "python -m runtimes artifacts, that is proved on this machine)"
)


def add_artifact(group: argparse._ActionsContainer) -> None:
    """``--artifact``, which may be left out; :data:`FOLDER` stands for the choice."""
    group.add_argument("--artifact", type=Path, default=FOLDER, help=HELP)


def chosen(artifact: Path, devices: Sequence[str | None], size: Size, tell: Callable[[str], None]) -> Path:
    """The artifact that the user named; else the best that ships, with a line on it and one on what is beyond it.

    Args:
        size: of the frames, for the advice.

    Raises:
        RuntimesError: see :func:`runtimes.registry.best`.
    """
    if artifact != FOLDER:
        return artifact
    choice = best(devices, tell=tell)
    item, ran = choice.shipped, choice.record.conditions
    tell(f"using {item.name} ({ran.backend} {ran.device}, {ran.arithmetic}), proved here: {item.remark}")
    tell(item.advice(size))
    return item.folder
