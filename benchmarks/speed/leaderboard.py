"""The interleaved session behind ``latency``: load every row, visit them in turn, compare their outputs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.options import LatencyOptions, Selection
from benchmarks.report import environment
from benchmarks.report.progress import Progress
from benchmarks.report.results_file import Kind, Results, command_line
from benchmarks.speed.candidates import Candidate, candidates, provide
from benchmarks.speed.complexity import complexity
from benchmarks.speed.eager import Layout
from benchmarks.speed.rows import REFERENCE, Judge, MeasuredRow, Row, label, pick_baselines, winner
from benchmarks.speed.timed_calls import (
    Session,
    open_artifact_row,
    open_eager_row,
    open_empty_row,
    open_machine_row,
    steps,
)
from benchmarks.speed.without_artifact import MatrixProduct
from benchmarks.speed.worker import PEAK, Worker
from export.parity_frames import moving_frame
from ifrnet import load_model
from runtimes.base import Runtime
from runtimes.contract import Precision, Size, Timesteps
from runtimes.frames import to_frame

SETTLE_S = 0.02
"""Pause between two rows: idle thread pools spin for some milliseconds before they sleep."""

MEMORY_MARGIN = 1.3
"""A row is loaded when this many times what the largest row took is free: all stay loaded, to take turns."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A row that will be loaded: ``load(*arguments)`` in a process of its own."""

    row: Row
    load: Callable[..., Runtime]
    arguments: tuple[Any, ...]


def measure(options: LatencyOptions, arguments: Sequence[str], progress: Progress) -> Results:
    """Run the whole benchmark.

    Args:
        options: what to measure.
        arguments: the command line, for the results file.
        progress: where to show it.

    Raises:
        BenchmarkError: the baseline cannot be measured, or the checkpoint does not serve these time steps.
    """
    chosen = options.selection
    machine = environment.describe()
    progress.stage(f"loading {chosen.model}")
    model = load_model(chosen.model)
    info = model.info
    assert info is not None
    gflop = 2e-9 * complexity(model.variant, chosen.size).macs
    timesteps = info.timesteps
    check_timesteps(options.timesteps, timesteps)
    items = provide(candidates(chosen), chosen, info, progress.stage)
    lanes, left_out = _measured(list(_plans(items, chosen, timesteps)), options, progress)
    *lanes, empty, product = lanes
    baselines = pick_baselines(lanes)
    reference = next(lane.output for lane in lanes if lane.row.form == Layout.NCHW and lane.row.device == "cpu")
    if reference is None:
        raise BenchmarkError("PyTorch's frames, which all others are compared with, could not be computed")
    judge = Judge(
        baselines=baselines,
        reference=reference,
        truth=np.concatenate([moving_frame(chosen.size, t) for t in steps(options.timesteps)]),
        timesteps=options.timesteps,
        gflop=gflop,
    )
    shown = [lane for lane in lanes if lane.row.backend != "pytorch" or lane is baselines[lane.row.device]]
    rows = [*map(judge.row, shown), *left_out, *(Row.of(item) for item in items if not item.runnable)]
    return Results(
        kind=Kind.LATENCY,
        command=command_line("latency", arguments),
        settings={
            "model": info.name,
            "checkpoint_sha256": info.sha256,
            "size": str(chosen.size),
            "threads": chosen.threads,
            "timesteps": options.timesteps,
            "schedule": schedule(options.timesteps, timesteps),
            "rounds": options.rounds,
            "order": "interleaved",
            "transfers": "counted",
        },
        environment={**machine, "load_after": environment.load_average()},
        summary={
            **_summary(lanes, rows, empty),
            "machine_gflops": 1e3 * options.timesteps * MatrixProduct.gflop() / product.median_ms,
            "network_gflop": gflop,
        },
        rows=[asdict(row) for row in rows],
    )


def check_timesteps(count: int, timesteps: Timesteps) -> None:
    """Refuse numbers of frames that halving does not give.

    Raises:
        BenchmarkError: the checkpoint serves t = 0.5 only, and ``count`` is not 1, 3, 7, 15, ...
    """
    if timesteps is Timesteps.MIDDLE and (count + 1) & count:
        raise BenchmarkError(
            f"--timesteps {count}: this checkpoint serves t = 0.5 only, so that frames come by halving: expected 1, 3, "
            "7, 15, ..., or a checkpoint for any t (random:ifrnet_s serves for speed)"
        )


def schedule(count: int, timesteps: Timesteps) -> str:
    """How several frames come about."""
    if count == 1:
        return "one frame at t = 0.5"
    if timesteps is Timesteps.MIDDLE:
        return f"{count} frames by recursive halving (the checkpoint serves t = 0.5 only)"
    return f"{count} frames at t = k / {count + 1} from one pair"


def write_frames(path: Path, size: Size) -> None:
    """The parity scene as uint8 frames."""
    first, last = (to_frame(moving_frame(size, time), np.dtype(np.uint8)) for time in (0.0, 1.0))
    np.savez(path, img0=first, img1=last)


def _plans(items: Sequence[Candidate], chosen: Selection, timesteps: Timesteps) -> Iterator[Plan]:
    """PyTorch in both layouts, every artifact that can run, and last the two rows that measure harness and machine."""
    for device in _torch_devices(chosen):
        for layout in Layout:
            row = Row(backend="pytorch", precision=Precision.FP32, device=device, form=layout, verdict=REFERENCE)
            yield Plan(row=row, load=open_eager_row, arguments=(chosen.model, device, layout.value, chosen.threads))
    for item in items:
        if item.runnable:
            where = (str(item.artifact), item.device, chosen.threads)
            yield Plan(row=Row.of(item), load=open_artifact_row, arguments=where)
    empty = Row(backend="empty", precision=Precision.FP32, device="cpu")
    yield Plan(row=empty, load=open_empty_row, arguments=(timesteps,))
    product = Row(backend="matrix product", precision=Precision.FP32, device="cpu")
    yield Plan(row=product, load=open_machine_row, arguments=(chosen.threads,))


def _torch_devices(chosen: Selection) -> list[str]:
    """The CPU, which is the baseline, and GPUs that were not excluded."""
    import torch

    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return ["cpu", *(gpu for gpu in gpus if chosen.devices is None or gpu in chosen.devices)]


def _measured(
    plans: Sequence[Plan], options: LatencyOptions, progress: Progress
) -> tuple[list[MeasuredRow], list[Row]]:
    """Load one after the other, take turns, then collect outputs; and the rows that did not fit into memory."""
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        frames = Path(scratch) / "frames.npz"
        write_frames(frames, options.selection.size)
        lanes: list[MeasuredRow] = []
        left_out: list[Row] = []
        for number, plan in enumerate(plans):
            progress.stage(f"loading {label(plan.row)}")
            needed = MEMORY_MARGIN * max((lane.peak_mb or 0.0 for lane in lanes), default=0.0)
            shown = plan.load in (open_artifact_row, open_eager_row)
            if shown and (available := environment.available_mb()) < needed:
                reason = (
                    f"{available:.0f} MB of memory are left, and other rows took up to {needed / MEMORY_MARGIN:.0f}: "
                )
                left_out.append(replace(plan.row, reason=reason + "measure fewer --backends or --precisions at once"))
                continue
            rest = (plan.load, plan.arguments, frames, options.timesteps, options.warmup)
            worker = stack.enter_context(Worker(Session, *rest, log=frames.with_name(f"log{number}.txt")))
            lane = MeasuredRow(row=plan.row, worker=worker)
            lane.ready = lane.attempt(worker.answer)
            lane.peak_mb = lane.attempt(lambda worker=worker: worker.call(PEAK))  # type: ignore[misc]
            lanes.append(lane)
        progress.stage(f"measuring {len(lanes)} rows in turn, {options.rounds} rounds", options.rounds * len(lanes))
        for _ in range(options.rounds):
            for lane in lanes:
                time.sleep(SETTLE_S)
                lane.visit()
                progress.advance()
        progress.stage("comparing the outputs", len(lanes))
        for lane in lanes:
            lane.peak_mb = lane.attempt(lambda worker=lane.worker: worker.call(PEAK))  # type: ignore[misc]
            lane.output = lane.attempt(lambda worker=lane.worker: worker.call("outputs"))  # type: ignore[misc]
            progress.advance()
    return lanes, left_out


def _summary(lanes: Sequence[MeasuredRow], rows: Sequence[Row], empty: MeasuredRow) -> dict[str, Any]:
    """What belongs to all rows: the baseline in both layouts, the harness's own cost, the fastest proven row."""
    best = winner(rows)
    tried = {
        lane.row.form: lane.median_ms for lane in lanes if lane.row.backend == "pytorch" and lane.row.device == "cpu"
    }
    fastest = min(row.median_ms for row in rows if row.median_ms is not None)
    return {
        "baseline": {"tried_ms": tried, "faster": min(tried, key=lambda form: tried[form])},
        "overhead_ms": empty.median_ms,
        "overhead_share": empty.median_ms / fastest,
        "harness_mb": empty.peak_mb,
        "winner": label(replace(best, form="")) if best else None,
        "left_out_of_the_winner": [
            f"{label(row)}: parity {row.verdict}"
            for row in rows
            if row.median_ms is not None and best is not None and row.verdict not in (REFERENCE, "passed")
        ],
    }
