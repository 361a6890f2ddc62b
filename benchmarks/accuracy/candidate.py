"""``python -m benchmarks weights``: a training state as a candidate to ship: checkpoint, INT8 scales, figures."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.errors import BenchmarkError
from benchmarks.options import AccuracyOptions
from calibration import PAIRS
from runtimes.cli import Parser
from runtimes.contract import Size, Timesteps
from runtimes.environment import available_cores

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.accuracy.score_log import ScoreLog
    from benchmarks.report.progress import Progress
    from benchmarks.report.results_file import Results
    from ifrnet.model import IFRNet

EPILOG = """\
Writes NAME.safetensors with its provenance NAME.json, the INT8 scales NAME.int8.json, footage.json, pans.json,
objects.json and the run's logs, and compares the checkpoint with the built-in one and with the baselines on all three,
part by part, and how far rounding moves both. Prints which figures of the README change, and the commands that put the
files in place. The same command goes on where it was interrupted.

example:
  python -m benchmarks weights --state runs/9/state.pt --output runs/candidate --openly-licensed
"""

BASELINES = ("averaging", "OpenCV DIS", "FFmpeg minterpolate")
"""Rows that stand beside the checkpoint's own in its provenance."""

LOGS = ("steps.csv", "evaluations.csv")
"""Of the run's folder; kept beside the checkpoint."""

SCENE = Size(1280, 720)
"""Frames of the rendered scene on which rounding is measured: the leaderboard's."""

TOLERANCE_DB = 0.01
"""PSNR that a part may lose before the comparison calls it worse: that is the last digit shown."""


def configure(parser: Parser) -> None:
    """The options of ``weights``."""
    add = parser.add_argument
    add("--state", type=Path, required=True, help="a run's state.pt")
    add("--output", type=Path, required=True, help="folder for the candidate's files")
    add("--name", default="ifrnet_s", help="of the checkpoint, and the built-in model it is compared with")
    add("--openly-licensed", action="store_true", help="it was trained on prepare's footage alone: list the licences")
    add("--trained-by", help="the command line that trained it, for the provenance")
    add("--per-clip", type=int, metavar="N", help="pairs of each clip, of either kind (default: 15)")
    add("--pairs", type=int, default=PAIRS, help="to calibrate on at most (default: %(default)s)")
    add("--threads", type=int, default=available_cores(), help="CPU threads (default: all, %(default)s)")


def execute(args: argparse.Namespace) -> int:
    """Export, calibrate, measure, export again with the figures, compare."""
    import torch
    from rich.console import Console

    from benchmarks.accuracy.datasets import SHIPPED
    from benchmarks.report.progress import Progress
    from ifrnet.weights import BUILTIN

    if args.name not in BUILTIN:
        raise BenchmarkError(f"--name {args.name}: expected a built-in model to compare with ({', '.join(BUILTIN)})")
    for option in ("pairs", "threads"):
        if not 1 <= getattr(args, option) <= 1024:
            raise BenchmarkError(f"--{option} {getattr(args, option)}: expected 1 to 1024")
    if args.per_clip is not None and args.per_clip < 1:
        raise BenchmarkError(f"--per-clip {args.per_clip}: expected at least 1")
    torch.set_num_threads(args.threads)
    console = Console()
    with Progress(Console(stderr=True)) as progress:
        progress.stage("exporting")
        checkpoint = _export(args, {})
        progress.stage(f"calibrating on {args.pairs} pairs")
        _calibrate(checkpoint, args.pairs)
        measured = [_measure(args, name, checkpoint, progress) for name in SHIPPED]
        names = {str(checkpoint): args.name, args.name: f"{args.name} so far"}
        found = [results for results, _ in measured]
        rows = [{**row, "name": names.get(row["name"], row["name"])} for results in found for row in results.rows]
        command = "; ".join(results.command for results in found)
        _export(args, {"command": command, "rows": provenance_rows(rows, args.name)})
    for _, journal in measured:  # not before the last one: a dataset that is done is not measured again either
        journal.finish()
    for name in LOGS:
        if (log := args.state.parent / name).is_file():
            shutil.copyfile(log, args.output / f"{args.name}.{name}")
    _print(console, rows, args)
    return 0


def rounding(model: IFRNet) -> tuple[float, float, float]:
    """How far rounding moves a network on the rendered scene of :data:`SCENE`, of which much leaves the frame.

    Footage of few clips may not show it: a network that has to guess there amplifies any error of a low precision.

    Returns:
        PSNR in dB of its middle frame to the true one, to its own in float64, and to its own with convolutions in
        bfloat16.
    """
    import torch

    from export.verify import Reference
    from runtimes.compare import psnr
    from runtimes.frames import to_tensor

    reference = Reference(model, Timesteps.MIDDLE, 1.0)
    (case,) = reference.cases(SCENE)
    truth = to_tensor(case.scene.render(case.scene.at(Fraction(1, 2))))
    others = (truth, reference.rounded(case, torch.float64), reference.rounded(case, torch.bfloat16))
    to_truth, to_exact, to_low = (psnr(case.expected, other) for other in others)
    return to_truth, to_exact, to_low


def _rounding_lines(so_far: tuple[float, ...], candidate: tuple[float, ...]) -> list[str]:
    from export.verify import MARGIN

    words = ("to the true frame", "in float32 to float64", "in bfloat16 to float32")
    figures = (f"{word} {a:.1f}, {b:.1f} dB" for word, a, b in zip(words, so_far, candidate, strict=True))
    lines = [
        f"On a rendered scene of {SCENE}, of which much leaves the frame (so far, candidate): {'; '.join(figures)}."
    ]
    if any(b < a - MARGIN for a, b in zip(so_far[1:], candidate[1:], strict=True)):
        lines.append(
            "The candidate is more sensitive to rounding than so far: artifacts in fp16, bf16 and int8 may be further "
            "from PyTorch there. A mean with the weights so far may cure it (python -m ifrnet.training mean)."
        )
    return lines


def _export(args: argparse.Namespace, evaluation: Mapping[str, Any]) -> Path:
    from ifrnet import load_model
    from ifrnet.training.export import export_weights

    checkpoint = export_weights(
        args.state,
        args.output / args.name,
        command=args.trained_by or "python -m ifrnet.training train, with the options below",
        openly_licensed=args.openly_licensed,
        evaluation=evaluation,
    )
    load_model(checkpoint)  # what cannot be loaded stops here, not at a user's
    return checkpoint


def _calibrate(checkpoint: Path, pairs: int) -> None:
    """INT8 scales beside a checkpoint, on the shipped scenes, as ``python -m calibration scales --shipped`` does it."""
    from calibration.calibrate import calibrate
    from calibration.footage import Footage
    from calibration.samples import pick
    from ifrnet import load_model

    picked = pick(Footage.shipped(), pairs, 0)
    scales = calibrate(load_model(checkpoint), picked, source="shipped clip", seed=0)
    scales.save(checkpoint.with_name(f"{checkpoint.stem}.int8.json"))


def _measure(args: argparse.Namespace, dataset: str, checkpoint: Path, progress: Progress) -> tuple[Results, ScoreLog]:
    from benchmarks.accuracy.scoring import measure

    path = args.output / f"{dataset}.json"
    options = AccuracyOptions(
        dataset=dataset,
        root=None,
        models=(args.name, str(checkpoint)),
        artifacts=(),
        builds=(),
        folder=args.output,
        device=None,
        threads=args.threads,
        crop=None,
        baselines=True,
        journal=path.with_name(f"{path.name}.partial"),
        per_clip=args.per_clip,
    )
    few = [] if args.per_clip is None else ["--per-clip", str(args.per_clip)]
    arguments = ["--dataset", dataset, *few, "--model", args.name, "--model", checkpoint.name]
    results, log = measure(options, arguments, progress)
    results.save(path)
    return results, log


def provenance_rows(rows: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    """The rows of the checkpoint and of the baselines, without what nobody measured: provenance is small."""
    kept = [row for row in rows if row["name"] in (*BASELINES, name)]
    return [
        {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items() if value is not None}
        for row in kept
    ]


def compared(rows: Sequence[Mapping[str, Any]], name: str) -> dict[str, tuple[int, float, float, float]]:
    """Part -> samples, and PSNR in dB of OpenCV's DIS, of the checkpoint so far and of the candidate.

    Without parts whose t the candidate does not serve.
    """
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["part"], {})[row["name"]] = row
    return {
        part: (own[name]["samples"], own["OpenCV DIS"]["psnr"], own[f"{name} so far"]["psnr"], own[name]["psnr"])
        for part, own in found.items()
        if name in own
    }


def _print(console: Console, rows: Sequence[Mapping[str, Any]], args: argparse.Namespace) -> None:
    from rich.table import Table

    from ifrnet import load_model

    parts = compared(rows, args.name)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("on", "samples", "DIS dB", "so far", "candidate", "gain", "over DIS"):
        table.add_column(heading, justify="left" if heading == "on" else "right", no_wrap=True)
    for part, (samples, dis, before, now) in parts.items():
        cells = (f"{dis:.2f}", f"{before:.2f}", f"{now:.2f}", f"{now - before:+.2f}", f"{now - dis:+.2f}")
        table.add_row(part, str(samples), *cells)
    console.width = max(console.width, 120)
    console.print(table)
    worse = [part for part, (_, _, before, now) in parts.items() if now < before - TOLERANCE_DB]
    verdict = f"worse than so far in: {'; '.join(worse)}" if worse else "nowhere worse than so far"
    so_far, candidate = (rounding(load_model(name)) for name in (args.name, args.output / f"{args.name}.safetensors"))
    for line in (f"The candidate is {verdict}.", *_rounding_lines(so_far, candidate), *_what_changes(rows, args)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _what_changes(rows: Sequence[Mapping[str, Any]], args: argparse.Namespace) -> list[str]:
    """What has to follow a new checkpoint, line by line."""
    own = {row["part"]: row for row in rows if row["name"] == args.name}
    live, film = own["all live action"], own["all animation"]
    folder, name = args.output, args.name
    return [
        "",
        f"docs/export.md, on the built-in weights: live action {live['psnr']:.2f} dB (SSIM {live['ssim']:.4f}), "
        f"animation {film['psnr']:.2f} ({film['ssim']:.4f}).",
        "Before it ships, INT8's gate on ONNX Runtime at a small size, the first to fail:",
        f"  python -m export --target onnx --int8 --size 160x96 --model {folder}/{name}.safetensors "
        f"--calibration {folder}/{name}.int8.json --out {folder}/int8",
        "To ship it:",
        f"  cp {folder}/{name}.safetensors {folder}/{name}.json ifrnet/checkpoints/",
        f"  cp {folder}/{name}.int8.json export/int8/scales/{name}.json",
        *(f"  cp {log} benchmarks/results/" for log in sorted(folder.glob(f"{name}.*.csv"))),
        "  make artifacts",
        "Then the README's other figures, each by its own command:",
        "  the demonstration (PSNR to the true frame):  make demo",
        "  INT8 and bf16 on footage:  python -m benchmarks accuracy --dataset footage --build openvino:bf16 "
        "--build openvino:int8 --build ncnn:bf16 --json benchmarks/results/footage.json",
        "  the leaderboard (PSNR to PyTorch; times do not depend on weights):  make bench",
    ]
