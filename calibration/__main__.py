"""``python -m calibration``: scales for INT8, and what each layer loses."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration import PAIRS
from export.int8.errors import CalibrationError
from runtimes.atomic import write_text
from runtimes.cli import Once, Parser, run

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from calibration.samples import SampleSet
    from calibration.sensitivity import Analysis
    from export.int8.scales import Scales
    from ifrnet import IFRNet

EPILOG = """\
examples:
  python -m calibration scales --model finetuned.pth --video holiday.mp4 --out finetuned.int8.json
  python -m export --target openvino --int8 --model finetuned.pth --calibration finetuned.int8.json
  python -m calibration sensitivity --by layer --plot sensitivity.png

Without --video or --frames, both use the shipped scenes of Big Buck Bunny. `scales --shipped` writes the file that the
package ships for a built-in model.
"""


def parser() -> Parser:
    """The command line."""
    result = Parser(
        prog="python -m calibration",
        description="Calibrate INT8 and measure what it costs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = result.add_subparsers(dest="command", required=True, metavar="COMMAND")
    scales = commands.add_parser("scales", help="calibrate the scales of a checkpoint")
    _common(scales, samples=PAIRS)
    out = scales.add_mutually_exclusive_group(required=True)
    out.add_argument("--out", type=Path, help="JSON file to write")
    out.add_argument("--shipped", action="store_true", help="write where the package keeps those of built-in models")
    scales.set_defaults(execute=_scales)
    sensitivity = commands.add_parser("sensitivity", help="what each layer or block loses, and an automatic choice")
    _common(sensitivity, samples=8)
    add = sensitivity.add_argument
    add("--by", choices=["block", "layer"], default="block", help="what is switched as one (default: %(default)s)")
    add("--max-drop", type=float, default=0.1, help="dB that the choice may lose (default: %(default)s)")
    add("--plot", type=Path, help="image to draw (.png, .svg)")
    add("--json", type=Path, help="write every figure")
    add("--out", type=Path, help="write scales of the chosen layers, for export --calibration")
    sensitivity.set_defaults(execute=_sensitivity)
    return result


def _common(command: argparse.ArgumentParser, *, samples: int) -> None:
    command.register("action", None, Once)
    add = command.add_argument
    add("--model", default="ifrnet_s", help="built-in name or checkpoint file (default: %(default)s)")
    add("--weights", metavar="NAME", help="which network of a checkpoint that holds several, for example ema")
    source = command.add_mutually_exclusive_group()
    source.add_argument("--video", type=Path, help="footage: a video file")
    source.add_argument(
        "--frames", type=Path, help="footage: a folder of images of one size, in the order of their numbers"
    )
    add("--samples", type=int, default=samples, help="how many pairs to use at most (default: %(default)s)")
    add("--seed", type=int, default=0, help="of the choice of pairs (default: %(default)s)")
    add("--threads", type=int, help="CPU threads (default: PyTorch's)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and run; returns the exit code."""
    args = parser().parse_args(arguments)
    for name in ("samples", "threads"):
        value = getattr(args, name)
        if value is not None and not 1 <= value <= 4096:
            raise CalibrationError(f"--{name} {value}: expected 1 to 4096")
    if args.seed < 0:
        raise CalibrationError(f"--seed {args.seed}: expected 0 or more")
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
    execute: Any = args.execute
    return int(execute(args))


def _scales(args: argparse.Namespace) -> int:
    from export.int8.scales import SHIPPED

    _check_outputs(args.out)
    model, picked = _open(args)
    with _bar(f"calibrating on {len(picked.samples)} pairs", len(picked.samples)) as (progress, task):
        scales = _calibrate(model, args, picked, progress, task)
    path = args.out or SHIPPED / f"{Path(scales.checkpoint['source']).stem}.json"
    scales.save(path)
    print(f"wrote {path}: scales of {len(scales.scales)} layers")
    return 0


def _sensitivity(args: argparse.Namespace) -> int:
    from calibration.sensitivity import Meter, Unit, analyse, check_plot, plot, units

    if not 0.0 <= args.max_drop <= 100.0:
        raise CalibrationError(f"--max-drop {args.max_drop}: expected dB from 0 to 100")
    _check_outputs(args.out, args.json, args.plot)
    if args.plot:
        check_plot(args.plot)
    model, picked = _open(args)
    with _bar(f"calibrating on {len(picked.samples)} pairs", len(picked.samples)) as (progress, task):
        every = _calibrate(model, args, picked, progress, task, everything=True)
        meter = Meter(model, every.scales, picked.samples)
        unit = Unit(args.by)
        progress.reset(task, total=len(units(meter.layers, unit)), description=f"measuring each {unit}")
        analysis = analyse(meter, model, unit, args.max_drop, lambda: progress.advance(task))
    chosen = _scales_of(analysis, every)
    if args.json:
        write_text(args.json, json.dumps(asdict(analysis), indent=1) + "\n")
    if args.plot:
        plot(analysis, args.plot)
    if args.out and chosen.scales:
        chosen.save(args.out)
    _print(analysis)  # last: a closed pipe must not cost the files
    if args.out and not chosen.scales:
        raise CalibrationError(
            f"every part loses more than --max-drop {args.max_drop:g} dB, so {args.out} would hold no scales: raise it"
        )
    for path in filter(None, (args.json, args.plot)):
        print(f"wrote {path}")
    if args.out:
        print(f"wrote {args.out}: scales of {len(chosen.scales)} layers")
    return 0


def _scales_of(analysis: Analysis, every: Scales) -> Scales:
    """Those of the chosen layers, with what chose them."""
    from dataclasses import replace

    pairs, seed = every.provenance["pairs"], every.provenance["seed"]
    command = f"python -m calibration sensitivity --by {analysis.unit} --max-drop {analysis.max_drop:g}"
    return replace(
        every,
        scales={name: every.scales[name] for name in analysis.chosen},
        provenance={**every.provenance, "command": f"{command} --samples {pairs} --seed {seed}"},
    )


def _check_outputs(*paths: Path | None) -> None:
    """Raises CalibrationError or OSError, before minutes of work, for what could not be written after them."""
    named = [path for path in paths if path is not None]
    for path in named:
        if path.is_dir() or not path.parent.is_dir():
            problem = f"{path} is a folder" if path.is_dir() else f"{path.parent} does not exist"
            raise CalibrationError(f"{problem}: name a file in a folder that exists")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    if len({path.resolve() for path in named}) < len(named):
        raise CalibrationError(f"{named[0]} is asked for twice: give each output a name of its own")


def _open(args: argparse.Namespace) -> tuple[IFRNet, SampleSet]:
    from calibration.footage import Footage
    from calibration.samples import pick
    from ifrnet import load_model

    model = load_model(args.model, weights=args.weights)
    path = args.video or args.frames
    if path is not None and path.is_dir() != bool(args.frames) and path.exists():
        kind, other = ("a folder", "--frames") if path.is_dir() else ("a file", "--video")
        raise CalibrationError(f"{path} is {kind}: pass it as {other}")
    picked = pick(Footage(path=path) if path else Footage.shipped(), args.samples, args.seed)
    if len(picked.samples) < args.samples:
        print(f"{len(picked.samples)} pairs move, fewer than the {args.samples} asked for; using all", file=sys.stderr)
    return model, picked


def _calibrate(
    model: IFRNet,
    args: argparse.Namespace,
    picked: SampleSet,
    progress: Progress,
    task: TaskID,
    *,
    everything: bool = False,
) -> Scales:
    from calibration.calibrate import calibrate

    source = (args.video or args.frames).name if args.video or args.frames else "shipped clip"
    return calibrate(
        model,
        picked,
        source=source,
        seed=args.seed,
        wrap=lambda pairs: _advancing(pairs, progress, task),
        everything=everything,
    )


def _advancing(items: Iterable[Any], progress: Progress, task: TaskID) -> Iterator[Any]:
    for item in items:
        yield item
        progress.advance(task)


@contextmanager
def _bar(text: str, total: int) -> Iterator[tuple[Progress, TaskID]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield progress, progress.add_task(text, total=total)


def _print(analysis: Analysis) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for heading in ("part", "MACs", "recipe", "alone dB", "left out dB", "chosen"):
        table.add_column(heading, justify="left" if heading in ("part", "recipe", "chosen") else "right", no_wrap=True)
    for part in analysis.parts:
        table.add_row(
            part.name,
            f"{part.share:.1%}",
            "int8" if part.int8 else "float",
            f"{part.alone_db:.4f}",
            "-" if part.left_out_db is None else f"{part.left_out_db:.4f}",
            "int8" if set(part.layers) <= set(analysis.chosen) else "float",
        )
    console = Console()
    console.print(table)
    console.print(
        f"the recipe loses {analysis.recipe_db:.4f} dB; chosen under {analysis.max_drop:g} dB: "
        f"{analysis.chosen_share:.1%} of the MACs in int8, {analysis.chosen_db:.4f} dB lost",
        highlight=False,
    )


def command() -> int:
    """Entry point of ``ifrnet-calibrate``."""
    return run("python -m calibration", main)


if __name__ == "__main__":
    sys.exit(command())
