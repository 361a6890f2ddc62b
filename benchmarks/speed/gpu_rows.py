"""What ``gpu`` measures: which rows there are, and the stages that they go through within the time limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from benchmarks.errors import BenchmarkError
from benchmarks.options import GpuOptions, LatencyOptions
from benchmarks.report import environment
from benchmarks.report.progress import Progress
from benchmarks.report.results_file import Results, command_line
from benchmarks.speed.candidates import Candidate, candidates, provide
from benchmarks.speed.leaderboard import info_of, measure_candidates
from benchmarks.speed.rows import PYTORCH
from benchmarks.speed.time_limit import TimeLimit
from benchmarks.speed.verification import verify_rows
from ifrnet import load_model
from runtimes.contract import Precision, Verdict
from runtimes.device import Device


def rows_to_measure(options: GpuOptions) -> list[Candidate]:
    """Every artifact on every GPU, and on the CPU in a rehearsal; float32 first, so that it is what the time is for.

    Raises:
        BenchmarkError: none of them can run, with the reason of each device.
    """
    rows = [row for row in candidates(options.selection) if _belongs(row, options.rehearse)]
    order = list(Precision)
    rows.sort(key=lambda row: order.index(row.precision))
    if not any(row.runnable for row in rows):
        reasons = dict.fromkeys(f"{row.backend} {row.device}: {row.reason}" for row in rows)
        looked_for = "; ".join(reasons) or f"none of {', '.join(options.selection.backends)} has a device of that name"
        raise BenchmarkError(f"no GPU to measure on ({looked_for}); --rehearse does the same on the CPU")
    return rows


def _belongs(row: Candidate, rehearse: bool) -> bool:
    """Whether a row is a GPU's, or says of a whole backend why it cannot run; in a rehearsal the CPU's as well."""
    kind = Device(name=row.device).kind
    if kind == "cpu":  # cannot run only where the backend is missing, or the target has no such precision
        return rehearse or not row.runnable
    return kind != "npu"


def measure(
    rows: Sequence[Candidate], options: GpuOptions, arguments: Sequence[str], progress: Progress, limit: TimeLimit
) -> Results:
    """Export what is missing, verify everything, measure it.

    Args:
        rows: of :func:`rows_to_measure`.
        options: what was asked for.
        arguments: the command line, for the results file.
        progress: where to show it.
        limit: for all of it.

    Raises:
        BenchmarkError: PyTorch on the CPU cannot be measured.
    """
    chosen = options.selection
    machine = {**environment.describe(), "devices": environment.devices(chosen.backends)}
    progress.stage(f"loading {chosen.model}")
    model = load_model(chosen.model)
    provided = provide(list(rows), chosen, info_of(model), progress.stage, limit)
    verified, verifications = verify_rows(provided, progress.stage, limit)
    results = measure_candidates(
        verified,
        model,
        LatencyOptions(selection=chosen, rounds=options.rounds, warmup=1, timesteps=1),
        progress,
        command=command_line("gpu", arguments),
        machine=machine,
        limit=limit,
    )
    return replace(
        results,
        settings={**results.settings, "minutes": options.minutes, "rehearsal": options.rehearse},
        summary={**results.summary, "verified": [asdict(item) for item in verifications]},
    )


def exit_code(results: Results) -> int:
    """2 when an artifact failed on a device, 1 when nothing but PyTorch was measured, else 0."""
    if any(item["verdict"] == Verdict.FAILED for item in results.summary["verified"]):
        return 2
    return 0 if any(row["median_ms"] is not None and row["backend"] != PYTORCH for row in results.rows) else 1
