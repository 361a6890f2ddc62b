"""Watches a worker: restarts it when it dies, ends it when it hangs or takes too much memory."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.fuzz.kind import Outcome
from tests.fuzz.worker import WHOLE

SECONDS = 20.0
START_SECONDS = 300.0
"""For the imports and the first, whole input."""

LIMIT_MB = 1024.0
RUNAWAY_MB = 3 * LIMIT_MB
"""A worker that grew by this is ended at once, for the sake of the machine."""

LOOK_EVERY = 0.25


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How one input ended: what was done to it, the outcome, the seconds and the megabytes it took."""

    number: int
    what: str
    outcome: Outcome
    detail: str
    seconds: float
    mb: float


class Supervisor:
    """Tries inputs of one kind in one worker after another.

    Args:
        kind, seed: decide what the inputs are.
        seeds: where the whole files are.
        work: for the worker's input and what it prints.
    """

    def __init__(self, kind: str, seed: int, seeds: Path, work: Path) -> None:
        self._arguments = [kind, str(seed), str(seeds), str(work / "input")]
        self.input, self._log = work / "input", work / "printed.txt"
        self._worker: subprocess.Popen[bytes] | None = None

    def attempt(self, number: int) -> Verdict:
        """Try one input."""
        worker = self._worker if self._worker and self._worker.poll() is None else self._start()
        return self._ask(worker, number, str(number), SECONDS)

    def close(self) -> None:
        """End the worker."""
        if self._worker:
            self._worker.kill()
            self._worker.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        """A worker that has tried the whole file, so that what follows is measured without the imports."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._worker = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log.open("wb"),
            env={**os.environ, "OMP_WAIT_POLICY": "passive"},  # ncnn's threads spin: seconds on a busy machine
            bufsize=0,  # or a second line would wait in a buffer that select knows nothing of
        )
        for attempt in (1, 2):  # whatever is kept from call to call is there after the second
            first = self._ask(self._worker, -attempt, WHOLE, START_SECONDS)
            if first.outcome is not Outcome.RIGHT:
                raise SystemExit(f"{self._arguments[0]}: a whole input is not accepted: {first}")
        return self._worker

    def _ask(self, worker: subprocess.Popen[bytes], number: int, task: str, limit: float) -> Verdict:
        stdin, stdout = worker.stdin, worker.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(task.encode() + b"\n")
        stdin.flush()
        written = self._line(worker, stdout, START_SECONDS)
        if not isinstance(written, dict):
            raise SystemExit(f"{self._arguments[0]} {task}: the worker could not write its input: {written[1]}")
        start = time.monotonic()
        reply = self._line(worker, stdout, limit)
        if isinstance(reply, dict):
            outcome, detail, mb = Outcome(reply["outcome"]), reply["detail"], float(reply["mb"])
            if mb > LIMIT_MB and task != WHOLE:
                outcome, detail = Outcome.MEMORY, f"{mb:.0f} MB, {detail}"
        else:
            (outcome, detail), mb = reply, 0.0
        return Verdict(
            number=number,
            what=written["what"],
            outcome=outcome,
            detail=detail,
            seconds=time.monotonic() - start,
            mb=mb,
        )

    def _line(
        self, worker: subprocess.Popen[bytes], stdout: IO[bytes], limit: float
    ) -> dict[str, Any] | tuple[Outcome, str]:
        """The next answer, or why there is none; the worker is gone then."""
        before, until = _resident_mb(worker.pid), time.monotonic() + limit
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while not selector.select(LOOK_EVERY):
                grown = _resident_mb(worker.pid) - before
                if grown > RUNAWAY_MB:
                    return self._end(worker, Outcome.MEMORY, f"{grown:.0f} MB and growing")
                if time.monotonic() > until:
                    return self._end(worker, Outcome.HANG, f"no answer in {limit:.0f} s")
        line = stdout.readline()
        if line:
            found: dict[str, Any] = json.loads(line)
            return found
        code = worker.wait()
        return Outcome.CRASH, f"exit code {code}: {self._printed()}"

    def _end(self, worker: subprocess.Popen[bytes], outcome: Outcome, detail: str) -> tuple[Outcome, str]:
        """Have the worker print where it is, and end it."""
        worker.send_signal(signal.SIGABRT)
        try:
            worker.wait(5.0)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
        return outcome, f"{detail}: {self._printed()}"

    def _printed(self) -> str:
        return self._log.read_text(errors="replace")[-2500:]


def _resident_mb(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/statm").read_text().split()
    except OSError:
        return 0.0
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20 if len(fields) > 1 else 0.0
