"""``python -m benchmarks tune``: the settings of the backend that are fastest for an artifact on this machine."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.errors import BenchmarkError
from runtimes.cli import Parser
from runtimes.environment import available_cores
from runtimes.registry import backend, runner
from runtimes.tuning import Choices, Tuning, write_tuning

if TYPE_CHECKING:
    from benchmarks.speed.timed_calls import Sample
    from benchmarks.speed.worker import Worker

EPILOG = """\
One setting after the other is tried against the best so far, both in turn, each in a process of its own. It is kept
where it is faster by more than its noise and by more than --gain, and gives the same frames. runtimes.load() then uses
what was found, on this machine, device and version of the backend only.

examples:
  python -m benchmarks tune artifacts/ifrnet_s-ncnn-fp32-1280x720
"""

SAME_PSNR = 60.0
"""dB between the frames with and without a setting: below, it changes more than the order of additions."""


def configure(parser: Parser) -> None:
    """The options of ``tune``."""
    add = parser.add_argument
    add("artifact", type=Path, metavar="ARTIFACT", help="folder of the artifact")
    add("--device", help="where it runs (default: the backend's)")
    add("--rounds", type=int, default=7, help="visits to both, in turn (default: %(default)s)")
    add("--gain", type=float, default=0.02, help="least gain that counts (default: %(default)s)")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One comparison: ``ratio`` is the time of the best so far over that of the candidate."""

    tuning: Tuning
    ratio: float = 0.0
    noise: float = 0.0
    reason: str = ""


def execute(args: argparse.Namespace) -> int:
    """Search, print, store."""
    if not 2 <= args.rounds <= 1000:  # the noise of one visit is unknown, so that nothing would stand out of it
        raise BenchmarkError(f"--rounds {args.rounds}: expected 2 to 1000")
    if not 0.0 <= args.gain < 1.0:
        raise BenchmarkError(f"--gain {args.gain:g}: expected a share from 0 to below 1, for example 0.02")
    from rich.console import Console

    from benchmarks.report.progress import Progress
    from runtimes.registry import load

    load(args.artifact, device=args.device, tuned=False).close()  # raises whatever is wrong with it
    console = Console(highlight=False)
    with Progress(Console(stderr=True)) as progress, tempfile.TemporaryDirectory() as scratch:
        search = Search(args.artifact, args.device, args.rounds, args.gain, Path(scratch))
        for trial in search.run(progress.stage):
            outcome = trial.reason or f"{trial.ratio:.3f}x, noise {trial.noise:.1%}"
            console.print(f"{describe(trial.tuning)}: {outcome}", soft_wrap=True)
    if search.best == search.default:
        console.print(f"nothing is faster than the default by more than {args.gain:.0%} and its noise")
    else:
        console.print(f"best: {describe(search.best)}, {search.gain:.3f}x the default")
    about = backend(search.backend).ABOUT
    path = write_tuning(args.artifact, about, search.device, search.best, {"ratio": search.gain})
    console.print(f"wrote {path}", soft_wrap=True)
    return 0


def describe(tuning: Tuning) -> str:
    """Threads and settings in one line."""
    return ", ".join([f"threads={tuning.threads}", *(f"{name}={value}" for name, value in tuning.settings.items())])


def candidates(choices: Choices, cores: int) -> list[tuple[str, bool | int | str]]:
    """What to try, one after the other: other numbers of threads, then every other value of every setting."""
    threads = sorted({n for n in (1, cores // 2, cores - 1, 2 * cores) if n >= 1 and n != cores})
    return [*(("threads", n) for n in threads), *((name, v) for name, values in choices.items() for v in values[1:])]


def changed(tuning: Tuning, name: str, value: bool | int | str) -> Tuning:
    """The tuning with one thing changed."""
    if name == "threads":
        return replace(tuning, threads=int(value))
    return replace(tuning, settings={**tuning.settings, name: value})


class Search:
    """A greedy walk over the settings of a backend.

    Args:
        artifact: the folder.
        device: where it runs; None for the backend's default.
        rounds: visits to both sides of a comparison.
        gain: least share that counts.
        scratch: folder for frames and logs.
    """

    def __init__(self, artifact: Path, device: str | None, rounds: int, gain: float, scratch: Path) -> None:
        from benchmarks.speed.turns import write_frames
        from runtimes.artifact import read_manifest

        manifest = read_manifest(artifact)
        module = runner(manifest.backend, device)
        self.backend, self.device = module.ABOUT.name, device or module.DEFAULT_DEVICE
        self.default = self.best = Tuning(threads=available_cores())
        self.gain = 1.0
        self._artifact, self._rounds, self._least, self._scratch = artifact, rounds, gain, scratch
        self._candidates = candidates(module.SETTINGS, available_cores())
        self._frames = scratch / "frames.npz"
        write_frames(self._frames, manifest.sizes.typical)

    def run(self, report: Callable[[str], None]) -> Iterator[Trial]:
        """Compare each candidate with the best so far, and at the end the best with the default."""
        for name, value in self._candidates:
            report(f"trying {name}={value}")
            trial = self._compare(self.best, changed(self.best, name, value))
            if not trial.reason and trial.ratio > 1.0 + max(self._least, trial.noise):
                self.best = trial.tuning
            yield trial
        if self.best != self.default:
            report("comparing with the default")
            last = self._compare(self.default, self.best)
            self.gain = last.ratio
            if last.reason or last.ratio <= 1.0 + self._least:  # steps of chance do not add up
                self.best, self.gain = self.default, 1.0

    def _compare(self, best: Tuning, candidate: Tuning) -> Trial:
        from benchmarks.speed.statistics import noise
        from benchmarks.speed.worker import WorkerError
        from runtimes.compare import psnr

        with self._worker(best, "best") as old, self._worker(candidate, "candidate") as new:
            try:
                for worker in (old, new):
                    worker.answer()
                times: tuple[list[float], list[float]] = ([], [])
                for _ in range(self._rounds):
                    for worker, kept in zip((old, new), times, strict=True):
                        visit: list[Sample] = worker.call("visit", 1, False)
                        kept.append(visit[0].inference)
                outputs = [worker.call("outputs") for worker in (old, new)]
            except WorkerError as error:
                return Trial(tuning=candidate, reason=f"cannot run: {error}")
        same = psnr(outputs[1], outputs[0])
        if same < SAME_PSNR:
            return Trial(tuning=candidate, reason=f"gives other frames: {same:.1f} dB")
        ratios = [a / b for a, b in zip(*times, strict=True)]  # of neighbours in time: drift hits both
        return Trial(tuning=candidate, ratio=float(np.median(ratios)), noise=noise(ratios))

    def _worker(self, tuning: Tuning, log: str) -> Worker:
        from benchmarks.speed.timed_calls import TimedRuntime, load_with_tuning
        from benchmarks.speed.worker import Worker

        where = (str(self._artifact), self.device, tuning)
        return Worker(TimedRuntime, load_with_tuning, where, self._frames, 1, 1, log=self._scratch / f"{log}.txt")
