"""What latency and throughput share on the command line, frozen past it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from export.options import DEFAULT_SIZE
from export.targets import TARGETS, target
from runtimes.cli import Parser, frame_size
from runtimes.contract import Precision, Size
from runtimes.environment import available_cores
from runtimes.registry import BACKENDS


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which rows to measure, and on what.

    Attributes:
        model: built-in name, checkpoint path, or ``random:VARIANT``.
        size: of the frames, in pixels.
        threads: CPU threads of every backend.
        backends: names of ``runtimes.registry.BACKENDS``; PyTorch is always measured, as the baseline.
        precisions: None for all that each target has; named ones that a target lacks give a row that says so.
        devices: None for all real ones; software devices are measured only when named.
        artifacts: folder of the artifacts; missing ones are exported into it.
        naive: exports of the network as published are rows too.
    """

    model: str
    size: Size
    threads: int
    backends: tuple[str, ...]
    precisions: tuple[Precision, ...] | None
    devices: tuple[str, ...] | None
    artifacts: Path
    naive: bool = False


@dataclass(frozen=True, kw_only=True)
class LatencyOptions:
    """One run of ``latency``.

    Attributes:
        rounds: visits to each row.
        warmup: untimed calls of each row at the start, besides the first.
        timesteps: frames made between two; 7 is 8x interpolation.
    """

    selection: Selection
    rounds: int
    warmup: int
    timesteps: int


@dataclass(frozen=True, kw_only=True)
class ThroughputOptions:
    """One run of ``throughput``.

    Attributes:
        in_flight: numbers of requests at the same time to try, 2 or more.
        seconds: length of a turn.
        rounds: turns of each row.
    """

    selection: Selection
    in_flight: tuple[int, ...]
    seconds: float
    rounds: int


@dataclass(frozen=True, kw_only=True)
class VideoBenchmarkOptions:
    """One run of ``video``.

    Attributes:
        artifact: the folder; ``runtimes.shipped.FOLDER`` for the fastest that ships and is proved here.
        device: None for the backend's default.
        size: of the frames, in pixels.
        threads: CPU threads of the network.
        clip: see :func:`benchmarks.speed.held_out.prepare`.
        frames: how many of a stretch are taken out and made again.
        stretches: parts of the clip, see :func:`benchmarks.speed.held_out.prepare`.
        rounds: times that each row makes them.
    """

    artifact: Path
    device: str | None
    size: Size
    threads: int
    clip: str | None
    frames: int
    stretches: int
    rounds: int


@dataclass(frozen=True, kw_only=True)
class GpuOptions:
    """One run of ``gpu``.

    Attributes:
        minutes: for everything; what does not fit is not measured, and says so.
        rounds: visits to each row.
        rehearse: measure the artifacts on the CPU as well, so that no GPU is needed.
    """

    selection: Selection
    minutes: float
    rounds: int
    rehearse: bool


@dataclass(frozen=True, kw_only=True)
class AccuracyOptions:
    """One measurement.

    Attributes:
        dataset: one of ``benchmarks.accuracy.datasets.NAMES``.
        root: where it lies; None for the usual place of footage.
        models: built-in names or checkpoint files, run in PyTorch.
        artifacts: exported artifacts.
        builds: ``TARGET:PRECISION`` to export from the first model for every frame size of the dataset.
        folder: holds those artifacts; what it lacks is exported into it.
        device: where these run; None for each backend's default.
        threads: CPU threads.
        crop: side of the centre crop of the 8x sets, or None.
        baselines: averaging, optical flow and FFmpeg's filter as well.
        peers: networks of others, keys of ``benchmarks.accuracy.peers.PEERS``.
        per_clip: pairs of frames from each clip of the footage; None for the usual number.
        journal: file that keeps scores as they come, or None.
        squeezenet: folder with the network of :mod:`benchmarks.accuracy.perceptual`; None measures no such distance.
    """

    dataset: str
    root: Path | None
    models: tuple[str, ...]
    artifacts: tuple[Path, ...]
    builds: tuple[str, ...]
    folder: Path
    device: str | None
    threads: int
    crop: int | None
    baselines: bool
    journal: Path | None
    peers: tuple[str, ...] = ()
    per_clip: int | None = None
    squeezenet: Path | None = None


def add_selection(parser: Parser) -> None:
    """The options behind :class:`Selection`."""
    add = parser.add_argument
    precisions = [precision.value for precision in Precision]
    add("--model", default="ifrnet_s", help="built-in name, checkpoint file, or random:VARIANT (default: %(default)s)")
    add("--size", type=frame_size, default=DEFAULT_SIZE, help="frame size (default: %(default)s)")
    add(
        "--threads",
        type=int,
        default=available_cores(),
        help="CPU threads of every backend (default: all, %(default)s)",
    )
    add("--backends", nargs="+", metavar="NAME", help=f"only these of {', '.join(BACKENDS)}, or of the targets' names")
    add("--precisions", nargs="+", metavar="NAME", choices=precisions, help=f"only these of {', '.join(precisions)}")
    add("--devices", nargs="+", metavar="NAME", help="only these, e.g. cpu cuda:0; a software vulkan:0 has to be named")
    add(
        "--artifacts",
        type=Path,
        default=Path("artifacts"),
        help="artifacts; missing ones are exported (default: %(default)s)",
    )


def selection(args: argparse.Namespace) -> Selection:
    """Read what :func:`add_selection` added.

    Raises:
        BenchmarkError: a backend that does not exist, or a number of threads that makes no sense.
    """
    if not 1 <= args.threads <= 1024:
        raise BenchmarkError(f"--threads {args.threads}: expected 1 to 1024")
    return Selection(
        model=args.model,
        size=args.size,
        threads=args.threads,
        backends=_backends(args.backends or list(BACKENDS)),
        precisions=tuple(Precision(name) for name in args.precisions) if args.precisions else None,
        devices=tuple(args.devices) if args.devices else None,
        artifacts=args.artifacts,
    )


def _backends(names: list[str]) -> tuple[str, ...]:
    """Backend names; a target stands for the backend that runs it."""
    found = []
    for name in names:
        if name == "pytorch":
            continue  # always there
        if name not in BACKENDS and name not in TARGETS:
            raise BenchmarkError(
                f"--backends {name}: there are pytorch, {', '.join(BACKENDS)} (targets: {', '.join(TARGETS)})"
            )
        found.append(name if name in BACKENDS else target(name).BACKEND)
    return tuple(dict.fromkeys(found))
