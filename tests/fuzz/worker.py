"""The process that tries inputs: ``python -m tests.fuzz.worker KIND SEED SEEDS INPUT``, told what to do on stdin.

A line on standard input is the number of an input, or ``whole``; the answer is a line of JSON with the outcome and the
megabytes that memory grew by at its peak. What libraries print goes to standard error.
"""

from __future__ import annotations

import faulthandler
import json
import os
import random
import shutil
import sys
from pathlib import Path

from tests.fuzz.kind import judge
from tests.fuzz.kinds import KINDS

WHOLE = "whole"


def peak_mb() -> float:
    """The largest this process has been since :func:`forget_peak`."""
    return _status("VmHWM")


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


def forget_peak() -> float:
    """Begin to measure the peak again, from what is in use now, which is returned."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def main(kind: str, seed: str, seeds: str, folder: str) -> None:
    """Answer until standard input ends."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    faulthandler.enable()
    trial = KINDS[kind].trial(Path(seeds))
    place = Path(folder)
    for line in sys.stdin:
        task = line.strip()
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        what = trial.write(place, None if task == WHOLE else random.Random(f"{seed} {kind} {task}"))
        replies.write(json.dumps({"what": what}) + "\n")
        replies.flush()
        before = forget_peak()
        outcome, detail = judge(trial, place)
        reply = {"outcome": outcome, "detail": detail, "mb": peak_mb() - before}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
