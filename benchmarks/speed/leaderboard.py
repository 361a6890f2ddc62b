"""What ``latency`` measures: every artifact and PyTorch in turn, and what the figures are compared with."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.options import LatencyOptions, Selection
from benchmarks.report import environment
from benchmarks.report.progress import Progress
from benchmarks.report.results_file import Kind, Results, command_line
from benchmarks.speed.candidates import Candidate, candidates, provide, torch_gpus
from benchmarks.speed.complexity import complexity
from benchmarks.speed.eager import Layout
from benchmarks.speed.machine_limits import COPY_MB, PRODUCTS, load_copy, load_product, products_here
from benchmarks.speed.naive_export import naive_rows
from benchmarks.speed.rows import (
    NOT_AN_ARTIFACT,
    PYTORCH,
    REFERENCE,
    Comparison,
    Row,
    RunningRow,
    label,
    pick_baselines,
    winner,
)
from benchmarks.speed.time_limit import TimeLimit
from benchmarks.speed.timed_calls import (
    even_times,
    load_artifact,
    load_empty,
    load_pytorch,
)
from benchmarks.speed.turns import COPY, EMPTY, PRODUCT, Measured, PlannedRow, measure_in_turn
from export.parity_frames import moving_frame
from ifrnet import IFRNet, load_model
from ifrnet.variants import CheckpointInfo
from runtimes.contract import Precision, Timesteps


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
    check_timesteps(options.timesteps, info_of(model).timesteps)
    rows = provide(candidates(chosen), chosen, info_of(model), progress.stage)
    command = command_line("latency", arguments)
    return measure_candidates(rows, model, options, progress, command=command, machine=machine)


def measure_candidates(
    rows: Sequence[Candidate],
    model: IFRNet,
    options: LatencyOptions,
    progress: Progress,
    *,
    command: str,
    machine: Mapping[str, Any],
    limit: TimeLimit | None = None,
) -> Results:
    """Measure rows that have their artifacts, beside PyTorch.

    Args:
        rows: those that cannot run stand in the results with their reason.
        model: the network that PyTorch runs.
        options: rounds, warm-up, frames of a call.
        progress: where to show it.
        command: for the results.
        machine: the environment as it was before anything ran.
        limit: rows for which the time does not suffice are left out, with the reason.

    Raises:
        BenchmarkError: the baseline cannot be measured.
    """
    chosen, info = options.selection, info_of(model)
    gflop = 2e-9 * complexity(model.variant, chosen.size).macs
    with tempfile.TemporaryDirectory() as scratch:
        naive, failed = naive_rows(chosen, machine["flags"], Path(scratch), progress.stage)
        planned = [*_planned(rows, chosen, info.timesteps, machine["flags"]), *naive]
        measured = measure_in_turn(planned, options, progress, limit or TimeLimit())
    products = _products(measured, options.timesteps)
    limits = {kind: max(products[kind].values()) for kind in products}
    comparison = _comparison(measured, options, gflop, limits)
    networks = measured.networks()
    shown = [
        running
        for running in networks
        if running.row.backend != PYTORCH or comparison.baselines.get(running.row.device, running) is running
    ]
    figures = [
        *map(comparison.figures, shown),
        *measured.left_out,
        *failed,
        *(Row.of(row) for row in rows if not row.runnable),
    ]
    return Results(
        kind=Kind.LATENCY,
        command=command,
        settings=_settings(info, options, measured.rounds),
        environment={**machine, "load_after": environment.load_average()},
        summary={
            **_summary(networks, figures, measured.named(EMPTY)),
            "machine_gflops": limits.get(Precision.FP32),
            "products_gflops": products,
            "copy_gbps": 2.0 * options.timesteps * COPY_MB / measured.named(COPY).median_ms or None,
            "network_gflop": gflop,
        },
        rows=[asdict(row) for row in figures],
    )


def _settings(info: CheckpointInfo, options: LatencyOptions, rounds: int) -> dict[str, Any]:
    """What was measured, and how."""
    chosen = options.selection
    return {
        "model": info.name,
        "checkpoint_sha256": info.sha256,
        "size": str(chosen.size),
        "threads": chosen.threads,
        "timesteps": options.timesteps,
        "schedule": schedule(options.timesteps, info.timesteps),
        "rounds": rounds,
        "order": "interleaved",
        "transfers": "counted",
    }


def info_of(model: IFRNet) -> CheckpointInfo:
    """Where the weights come from; every loaded model says so."""
    assert model.info is not None
    return model.info


def _products(measured: Measured, timesteps: int) -> dict[str, dict[str, float]]:
    """Arithmetic -> library -> GFLOP/s of its matrix product, where that could be measured."""
    found: dict[str, dict[str, float]] = {}
    for running in measured.all_named(PRODUCT):
        row = running.row
        work = next(item.gflop for item in PRODUCTS if (item.library, item.precision) == (row.form, row.precision))
        if np.isfinite(running.median_ms):
            found.setdefault(row.precision, {})[row.form] = 1e3 * timesteps * work / running.median_ms
    return found


def _comparison(measured: Measured, options: LatencyOptions, gflop: float, limits: Mapping[str, float]) -> Comparison:
    """PyTorch's times and frames, and the true frames."""
    networks = measured.networks()
    baselines = pick_baselines(networks)
    published = next(running for running in networks if running.row.form == Layout.NCHW and running.row.device == "cpu")
    if published.output is None:
        raise BenchmarkError("PyTorch's frames, which all others are compared with, could not be computed")
    size = options.selection.size
    return Comparison(
        baselines=baselines,
        reference=published.output,
        truth=np.concatenate([moving_frame(size, t) for t in even_times(options.timesteps)]),
        timesteps=options.timesteps,
        gflop=gflop,
        published_ms=published.median_ms,
        limits=limits,
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


def _planned(
    rows: Sequence[Candidate], chosen: Selection, timesteps: Timesteps, flags: Sequence[str]
) -> Iterator[PlannedRow]:
    """PyTorch in both layouts, the rows that measure harness and machine, and every artifact that can run."""
    for device in _torch_devices(chosen):
        for layout in Layout:
            row = Row(backend=PYTORCH, precision=Precision.FP32, device=device, form=layout, verdict=REFERENCE)
            where = (chosen.model, device, layout.value, chosen.threads)
            yield PlannedRow(row=row, load=load_pytorch, arguments=where)
    empty = Row(backend=EMPTY, precision=Precision.FP32, device="cpu")
    yield PlannedRow(row=empty, load=load_empty, arguments=(timesteps,))
    for product in products_here(flags):
        row = Row(backend=PRODUCT, precision=product.precision, device="cpu", form=product.library)
        which = (product.library, product.precision.value, chosen.threads)
        yield PlannedRow(row=row, load=load_product, arguments=which)
    copy = Row(backend=COPY, precision=Precision.FP32, device="cpu")
    yield PlannedRow(row=copy, load=load_copy, arguments=(chosen.threads,))
    for item in rows:
        if item.runnable:
            artifact = (str(item.artifact), item.device, chosen.threads)
            yield PlannedRow(row=Row.of(item), load=load_artifact, arguments=artifact)


def _torch_devices(chosen: Selection) -> list[str]:
    """The CPU, which is the baseline, and GPUs that were not excluded."""
    return ["cpu", *(gpu for gpu in torch_gpus() if chosen.devices is None or gpu in chosen.devices)]


def _summary(networks: Sequence[RunningRow], rows: Sequence[Row], empty: RunningRow) -> dict[str, Any]:
    """What belongs to all rows: the baseline in both layouts, the harness's own cost, the fastest proven row."""
    best = winner(rows)
    tried = {
        running.row.form: running.median_ms
        for running in networks
        if running.row.backend == PYTORCH and running.row.device == "cpu"
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
            if row.median_ms is not None
            and best is not None
            and row.verdict not in (REFERENCE, NOT_AN_ARTIFACT, "passed")
        ],
    }
