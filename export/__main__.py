"""``python -m export``: from a checkpoint to verified artifacts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from export.errors import ExportError
from export.options import DEFAULT_SIZE, DYNAMIC_RANGE, Delegate, ExportOptions
from export.qnn_socs import DEFAULT_SOC
from export.targets import TARGETS, lacking, target
from runtimes.cli import Once, Parser, frame_size, run
from runtimes.contract import Precision, Size, SizeRange, Verdict
from runtimes.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from export.pipeline import Outcome

EPILOG = """\
instead of options: ship, which makes the artifacts that come with the package; setup NAME, which makes the environment
that a target needs for itself (litert).

exit codes: 0 built (verdicts passed, passed (emulated), file checked, or not run with the reason), 1 the request cannot
be met, 2 an artifact differs from PyTorch, 3 a bug.

examples:
  python -m export --target all
  python -m export --target openvino --target ncnn --size 1920x1080 --model finetuned.pth
  python -m export --target trt --sm 86 --sm 120 --dynamic --min-size 640x360 --max-size 1920x1080
  python -m export ship --force
"""


def parser() -> Parser:
    """The command line."""
    result = Parser(
        prog="python -m export",
        description="Export IFRNet to devices, and prove that each artifact still computes it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.register("action", None, Once)
    add = result.add_argument
    add("--target", action="append", required=True, choices=[*TARGETS, "all"], help="what to build; repeatable")
    add("--model", default="ifrnet_s", help="built-in name, checkpoint file, or random:VARIANT (default: %(default)s)")
    add("--weights", metavar="NAME", help="which network of a checkpoint that holds several, for example ema")
    for precision in Precision:
        add(f"--{precision}", dest="precisions", action="append_const", const=precision, help=_HELP[precision])
    add("--size", type=frame_size, help=f"frame size of a static artifact (default: {DEFAULT_SIZE})")
    add("--dynamic", action="store_true", help="any frame size, within the range below")
    add("--min-size", type=frame_size, help=f"with --dynamic (default: {DYNAMIC_RANGE.minimum})")
    add("--opt-size", type=frame_size, help=f"with --dynamic, what to tune for (default: {DYNAMIC_RANGE.typical})")
    add("--max-size", type=frame_size, help=f"with --dynamic (default: {DYNAMIC_RANGE.maximum})")
    add("--scale", type=float, default=1.0, help="run the network on frames resized by this; 0.5 for UHD")
    add("--calibration", type=Path, metavar="FILE", help="INT8 scales, see python -m calibration; built-in ones ship")
    drop = ExportOptions.max_drop
    add("--max-drop", type=float, metavar="DB", help=f"what INT8 may lose on held-aside frames (default: {drop})")
    add(
        "--sm", action="append", default=[], metavar="NN", help="compute capability for trt, for example 86; repeatable"
    )
    add("--ios", type=int, metavar="N", help=f"oldest iOS for coreml, 15 or more (default: {ExportOptions.ios})")
    add("--ort", action="store_true", help="onnx: write the .ort file of ONNX Runtime Mobile and Web in its place")
    add(
        "--delegate",
        choices=list(Delegate),
        help=f"executorch: on phones' CPUs or GPUs (default: {ExportOptions.delegate})",
    )
    add(
        "--soc",
        metavar="NAME",
        help=f"chip for qnn, e.g. snapdragon-8-elite (default: {DEFAULT_SOC})",
    )
    add(
        "--verify-device",
        action="append",
        default=[],
        metavar="DEVICE",
        help="verify there too, e.g. software vulkan:0",
    )
    add("--out", type=Path, default=Path("artifacts"), help="folder for the artifacts (default: %(default)s)")
    add("--force", action="store_true", help="replace artifacts that exist")
    return result


_OWNERS = {"sm": "trt", "ios": "coreml", "ort": "onnx", "delegate": "executorch", "soc": "qnn"}
"""Option -> the target that it is for."""

_HELP = {
    Precision.FP32: "single precision (default)",
    Precision.FP16: "half precision",
    Precision.BF16: "bfloat16",
    Precision.INT8: "8-bit integers with calibrated scales",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, build, print the table; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["ship"]:
        from export import ship

        return ship.main(given[1:])
    if given[:1] == ["setup"]:
        from export import environments

        return environments.main(given[1:])
    args = parser().parse_args(given)
    sizes = _sizes(args)
    precisions = tuple(dict.fromkeys(args.precisions or [Precision.FP32]))
    names, left_out = _targets(args.target, sizes, precisions)
    for option, owner in _OWNERS.items():
        if getattr(args, option) and owner not in names:
            raise UsageError(f"--{option} belongs to --target {owner}; pass that too, or leave it out")
    options = ExportOptions(
        targets=names,
        precisions=precisions,
        model=args.model,
        weights=args.weights,
        sizes=sizes,
        scale=_scale(args.scale),
        out=args.out,
        calibration=_for_int8("--calibration", args.calibration, precisions),
        max_drop=_max_drop(_for_int8("--max-drop", args.max_drop, precisions)),
        force=args.force,
        compute_capabilities=tuple(part for item in args.sm for part in item.split(",")),
        ios=ExportOptions.ios if args.ios is None else args.ios,
        ort=args.ort,
        delegate=Delegate(args.delegate or ExportOptions.delegate),
        soc=args.soc or DEFAULT_SOC,
        verify_devices=tuple(args.verify_device),
    )
    return _export(options, left_out)


def _export(options: ExportOptions, left_out: dict[str, str]) -> int:
    from rich.console import Console

    from export.pipeline import Pipeline, check_options
    from export.progress import Progress

    console = Console(markup=False, highlight=False)  # the [onnx] of a pip command is no markup
    outcomes: list[Outcome] = []
    check_options(options)  # before the checkpoint is read
    try:
        with Progress(console) as progress:
            pipeline = Pipeline(options, progress.stage)
            jobs = pipeline.jobs()
            for number, job in enumerate(jobs, 1):
                progress.begin(number, len(jobs))
                outcomes.append(pipeline.build(job))
                progress.finish(outcomes[-1])
    finally:  # what was built before an error is whole, and is named
        _print_table(console, outcomes, left_out)
    return 2 if any(outcome.verdict is Verdict.FAILED for outcome in outcomes) else 0


def _sizes(args: argparse.Namespace) -> SizeRange:
    """The sizes of the artifact.

    Raises:
        UsageError: options that contradict each other.
    """
    bounds = (args.min_size, args.opt_size, args.max_size)
    if not args.dynamic:
        if any(bounds):
            raise UsageError(
                "--min-size, --opt-size and --max-size belong to --dynamic; pass that too, or --size alone"
            )
        return SizeRange.static(args.size or DEFAULT_SIZE)
    if args.size:
        raise UsageError("--size is for static artifacts; with --dynamic use --min-size, --opt-size and --max-size")
    low, typical, high = bounds
    low, high = low or DYNAMIC_RANGE.minimum, high or DYNAMIC_RANGE.maximum
    if typical is None:
        default = DYNAMIC_RANGE.typical
        typical = Size(
            min(max(default.width, low.width), high.width), min(max(default.height, low.height), high.height)
        )
    return SizeRange(minimum=low, typical=typical, maximum=high)


def _scale(scale: float) -> float:
    from ifrnet.variants import size_multiple

    size_multiple(scale)  # refuses what the network does not take
    return scale


T = TypeVar("T")


def _for_int8(option: str, value: T | None, precisions: Sequence[Precision]) -> T | None:
    if value is not None and Precision.INT8 not in precisions:
        raise UsageError(f"{option} belongs to --int8; pass that too")
    return value


def _max_drop(value: float | None) -> float:
    if value is None:
        return ExportOptions.max_drop
    if not 0.0 <= value <= 100.0:
        raise UsageError(f"--max-drop {value:g}: expected dB from 0 to 100")
    return value


def _targets(
    wanted: Sequence[str], sizes: SizeRange, precisions: Sequence[Precision]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Names to build, and for ``all`` what is left out with the reason.

    Raises:
        ExportError: a target asked for by name cannot be built here, or nothing is left.
    """
    named = [name for name in dict.fromkeys(wanted) if name != "all"]
    for name in named:
        if reason := target(name).missing():
            raise ExportError(f"target {name}: {reason}")
    if "all" not in wanted:
        return tuple(named), {}
    left_out = {}
    for name in TARGETS:
        if name not in named and (reason := _why_not(name, sizes, precisions)):
            left_out[name] = reason
    names = tuple(name for name in TARGETS if name not in left_out)
    if not names:
        raise ExportError("nothing to build: " + "; ".join(f"{name}: {reason}" for name, reason in left_out.items()))
    return names, left_out


def _why_not(name: str, sizes: SizeRange, precisions: Sequence[Precision]) -> str:
    module = target(name)
    if reason := module.missing():
        return reason
    if reason := lacking(name, precisions):
        return reason
    try:
        module.check(ExportOptions(targets=(name,), precisions=tuple(precisions), sizes=sizes))
    except ExportError as error:
        return str(error)
    return ""


def _print_table(console: Console, outcomes: Sequence[Outcome], left_out: dict[str, str]) -> None:
    from rich.table import Table

    if not outcomes:
        return
    table = Table(box=None, header_style="bold")
    for heading in ("target", "precision", "MB", "build s", "PSNR dB", "max error", "verdict", "path"):
        right = heading in ("MB", "build s", "PSNR dB", "max error")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for outcome in outcomes:
        worst = outcome.worst
        table.add_row(
            outcome.target,
            outcome.precision,
            f"{outcome.bytes / 1e6:.1f}",
            f"{outcome.seconds:.1f}",
            f"{worst['psnr']:.1f}" if worst else "-",
            f"{worst['max_error']:.1e}" if worst else "-",
            outcome.verdict,
            str(outcome.path),
        )
    # A path that is cut short is of no use: rich measures the table against the console's width.
    console.width = max(console.width, console.measure(table, options=console.options.update(width=10_000)).maximum)
    console.print(table, soft_wrap=True)
    for outcome in outcomes:
        for record in outcome.parity:
            note = f": {record.reason}" if record.reason else ""
            ran = f" ({record.arithmetic})" if record.arithmetic else ""
            line = f"{outcome.path.name} on {record.device}{ran}: {record.verdict}{note}"
            console.print(line, soft_wrap=True)
    for name, reason in left_out.items():
        console.print(f"{name} left out: {reason}", soft_wrap=True)


def command() -> int:
    """Entry point of ``ifrnet-export``."""
    return run("python -m export", main)


if __name__ == "__main__":
    sys.exit(command())
