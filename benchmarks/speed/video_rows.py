"""What ``video`` measures: the video application and FFmpeg's minterpolate on one clip in turn."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.options import VideoBenchmarkOptions
from benchmarks.report import environment
from benchmarks.report.progress import Progress
from benchmarks.report.results_file import Kind, Results, command_line
from benchmarks.speed.held_out import RATE, HeldOut, prepare, score
from benchmarks.speed.minterpolate import FILTER, WholeFile
from benchmarks.speed.statistics import noise
from benchmarks.speed.worker import Worker, WorkerError
from runtimes.artifact import Manifest, read_manifest
from runtimes.commands.shipped import chosen
from runtimes.registry import backend

MINTERPOLATE = "ffmpeg minterpolate"

NO_LIMIT_S = 3600.0
"""Longest wait for a whole video."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table; None where it was not measured.

    ``fps`` is made frames a second, from the first decoded frame to the closed file (``seconds``, medians); ``wall_s``
    is that with the start of the process and loading. ``infer_fps`` is what the network gave while it worked, as the
    application's own meter has it, and ``infer_share`` the first over the second. ``psnr`` and ``psnr_worst``, in dB,
    are over those frames that every row made.
    """

    backend: str
    precision: str
    device: str
    fps: float | None = None
    noise: float | None = None
    seconds: float | None = None
    wall_s: float | None = None
    infer_fps: float | None = None
    infer_share: float | None = None
    made: int | None = None
    psnr: float | None = None
    psnr_worst: float | None = None
    reason: str = ""
    samples_fps: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One whole video."""

    seconds: float
    wall_s: float
    infer_fps: float | None = None


@dataclass(kw_only=True)
class RunningVideo:
    """A row while it is measured; ``failure`` ends it."""

    row: Row
    turns: list[Turn] = field(default_factory=list)
    scores: dict[int, float] = field(default_factory=dict)
    failure: str = ""

    def figures(self, common: Sequence[int]) -> Row:
        """The row with its figures, quality over the ``common`` frames; or the reason why it has none."""
        if self.failure or not self.turns:
            return replace(self.row, reason=self.failure)
        rates = [len(self.scores) / turn.seconds for turn in self.turns]
        inferred = [turn.infer_fps for turn in self.turns if turn.infer_fps]
        shares = [rate / alone for rate, alone in zip(rates, inferred, strict=False)]
        quality = [self.scores[index] for index in common]
        return replace(
            self.row,
            fps=float(np.median(rates)),
            noise=noise(rates),
            seconds=float(np.median([turn.seconds for turn in self.turns])),
            wall_s=float(np.median([turn.wall_s for turn in self.turns])),
            infer_fps=float(np.median(inferred)) if inferred else None,
            infer_share=float(np.median(shares)) if shares else None,
            made=len(self.scores),
            psnr=float(np.mean(quality)) if quality else None,
            psnr_worst=min(quality, default=None),
            samples_fps=tuple(rates),
        )


def measure(options: VideoBenchmarkOptions, arguments: Sequence[str], progress: Progress) -> Results:
    """Run the whole benchmark.

    Args:
        options: what to measure.
        arguments: the command line, for the results file.
        progress: where to show it.

    Raises:
        BenchmarkError, FootageError: there is no such clip.
        RuntimesError: no artifact that is proved here, or a folder that is none.
    """
    machine = environment.describe()
    artifact = chosen(options.artifact, (options.device,), options.size, progress.stage)
    manifest = read_manifest(artifact)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        progress.stage("preparing the clip")
        clip = prepare(options.clip, options.size, options.frames, folder, progress.stage, options.stretches)
        ours, theirs = (
            _ours(manifest, options),
            RunningVideo(row=Row(backend=MINTERPOLATE, precision="-", device="cpu")),
        )
        progress.stage(f"making {clip.count // 2} frames, {options.rounds} times each", 2 * options.rounds)
        for _ in range(options.rounds):
            _run_application(ours, artifact, clip, options)
            progress.advance()
            _run_minterpolate(theirs, clip, folder)
            progress.advance()
    running = (ours, theirs)
    measured = [row for row in running if row.turns and not row.failure]
    common = sorted(set.intersection(*(set(row.scores) for row in measured)) - clip.joins) if measured else []
    rows = [row.figures(common) for row in running]
    return Results(
        kind=Kind.VIDEO,
        command=command_line("video", arguments),
        settings={
            "model": manifest.checkpoint.get("name", manifest.name),
            "checkpoint_sha256": manifest.checkpoint.get("sha256"),
            "artifact": manifest.name,
            "size": str(options.size),
            "threads": options.threads,
            "timesteps": 1,
            "clip": clip.name,
            "source": clip.source,
            "schedule": f"{clip.count // 2} frames, every second one, taken out of {clip.name} and made again",
            "rounds": options.rounds,
            "minterpolate": FILTER,
            "rate": RATE,
        },
        environment={**machine, "load_after": environment.load_average()},
        summary={"compared_frames": len(common)},
        rows=[asdict(row) for row in rows],
    )


def _ours(manifest: Manifest, options: VideoBenchmarkOptions) -> RunningVideo:
    row = Row(
        backend=manifest.backend,
        precision=manifest.precision,
        device=options.device or backend(manifest.backend).DEFAULT_DEVICE,
    )
    return RunningVideo(row=row)


def _run_application(row: RunningVideo, artifact: Path, clip: HeldOut, options: VideoBenchmarkOptions) -> None:
    """``python -m runtimes video`` as a user runs it, but without scene cuts, as minterpolate: the clip has none."""
    if row.failure:
        return
    target, stats = clip.given.with_name("ours.mp4"), clip.given.with_name("stats.json")
    stats.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "runtimes",
        "video",
        str(clip.given),
        str(target),
        "--force",
        "--stats",
        str(stats),
    ]
    command += ["--artifact", str(artifact), "--threads", str(options.threads), "--no-scene-cuts"]
    command += ["--device", options.device] if options.device else []
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=NO_LIMIT_S)
    wall = time.perf_counter() - start
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        row.failure = f"exit code {done.returncode}: {lines[-1] if lines else ''}"
        return
    told: dict[str, Any] = json.loads(stats.read_text(encoding="utf-8"))
    row.turns.append(Turn(seconds=told["seconds"], wall_s=wall, infer_fps=told["infer_throughput"]))
    row.scores = row.scores or score(target, clip)


def _run_minterpolate(row: RunningVideo, clip: HeldOut, folder: Path) -> None:
    """The same clip through FFmpeg's filter, into the same encoder."""
    if row.failure:
        return
    target = folder / "theirs.mp4"
    start = time.perf_counter()
    try:
        with Worker(WholeFile, log=folder / "log.txt") as worker:
            worker.answer()
            seconds: float = worker.call("run", clip.given, target, timeout_s=NO_LIMIT_S)
    except WorkerError as error:
        row.failure = str(error)
        return
    row.turns.append(Turn(seconds=seconds, wall_s=time.perf_counter() - start))
    row.scores = row.scores or score(target, clip)
    if not row.scores:
        row.failure = "it made none of the frames that were taken out"


def check_measured(results: Results) -> None:
    """Raises BenchmarkError when our own row could not be measured."""
    if results.rows[0]["fps"] is None:
        raise BenchmarkError(f"python -m runtimes video failed: {results.rows[0]['reason']}")
