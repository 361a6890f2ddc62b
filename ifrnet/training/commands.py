"""What the subcommands of ``python -m ifrnet.training`` do; heavy imports wait until one is chosen."""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from ifrnet.training.errors import TrainingError
from ifrnet.training.options import LossWeights, Precision, RunOptions, Schedule, TrainOptions, WideScenes
from ifrnet.training.precision import AUTO, pick_precision
from runtimes.json_text import parse_json

FULL_LOSSES = ("reconstruction", "geometry", "distillation", "psnr", "flow")
"""Loss terms of the whole network."""

SEEDS = 1 << 63
"""Seeds from here on are none of PyTorch's."""


def prepare(arguments: argparse.Namespace) -> int:
    """Cut clips: of the openly licensed footage, or of a folder of videos."""
    side, places = arguments.side, arguments.places
    if not 64 <= side <= 1024:
        raise TrainingError(f"--side {side}: expected 64 to 1024 pixels, no less than the --crop to train with")
    if places < 1:
        raise TrainingError(f"--places {places}: expected at least 1")
    if arguments.videos is not None:
        from ifrnet.training.videos import prepare_videos

        count = prepare_videos(arguments.videos, arguments.output, side, places)
        print(f"{count} clips in {arguments.output}")
        return 0
    from ifrnet.training.openly_licensed import prepare_openly_licensed

    clips, pictures = prepare_openly_licensed(arguments.output, arguments.archives, side, places)
    print(f"{clips} clips and {pictures} pictures in {arguments.output}")
    return 0


def flow(arguments: argparse.Namespace) -> int:
    """Store reference flows beside the frames of Vimeo90K."""
    from rich.console import Console
    from rich.progress import track

    from ifrnet.training.flow import FLOW_ESTIMATORS
    from ifrnet.training.vimeo import triplet_folders, write_flows

    total = len(triplet_folders(arguments.root))
    written = track(
        write_flows(arguments.root, FLOW_ESTIMATORS[arguments.estimator]()),
        total=total,
        description="flows",
        console=Console(stderr=True),
    )
    count = sum(written)
    print(f"{count} flows written, {total - count} were there")
    return 0


def train(arguments: argparse.Namespace) -> int:
    """Start a run, or resume the one in its folder."""
    from ifrnet.training import loop, sources
    from ifrnet.training.parallel import join
    from ifrnet.training.state import FILE

    options, machine = train_options(arguments), run_options(arguments)
    with join(arguments.device) as processes:
        options = replace(options, world=processes.world)
        reason = "asked for"
        if arguments.precision == AUTO:
            options, reason = _with_precision(options, arguments.folder / FILE, processes.device.type)
        found = [sources.parse_source(text, options) for text in options.data]
        wide = sources.wide_scenes(found, options)
        run = loop.new_run(options, processes.device)
        path = arguments.folder / FILE
        if path.exists():
            loop.resume(run, arguments.folder)
            if arguments.start_from is not None:
                loop.check_start(run, arguments.start_from, path)
            if run.step > options.steps:
                if processes.first:
                    print(f"{path} is at step {run.step} already, beyond --steps {options.steps}", file=sys.stderr)
                return 0
        elif arguments.start_from is not None:
            loop.start_from(run, arguments.start_from)
        evaluate = None
        if machine.evaluate_steps and processes.first:
            evaluate = _evaluation(found)
        if processes.first:
            where = f"run folder {arguments.folder}, {processes.world} process(es) on {processes.device.type}"
            how = f"{options.precision.value} ({reason})"
            print(f"{options.variant} from step {run.step} to {options.steps} in {how}, {where}", file=sys.stderr)
        if wide is not None and options.coarsest:
            loop.train_coarsest(run, arguments.folder, wide, machine, processes, evaluate)
        else:
            loop.train(run, arguments.folder, found, machine, processes, evaluate, wide=wide)
    return 0


def _with_precision(options: TrainOptions, path: Path, device: str) -> tuple[TrainOptions, str]:
    """Options with the precision that fits the machine, or that of the run which is resumed; and why."""
    from ifrnet.training import state as states

    precision, reason = pick_precision(device)
    if path.exists():
        precision, reason = Precision(states.load(path).options["precision"]), "the run began with it"
    return replace(options, precision=precision), reason


def _evaluation(found: list[Any]) -> Any:
    from ifrnet.footage.errors import FootageError
    from ifrnet.training.evaluate import quick_evaluation
    from ifrnet.training.synthetic import SyntheticMotion

    synthetic = [source.data for source in found if isinstance(source.data, SyntheticMotion)]
    try:
        return quick_evaluation(synthetic[0] if synthetic else None)
    except FootageError as error:
        raise TrainingError(
            f"the evaluation footage cannot be had: {error}; --evaluate-steps 0 trains without it"
        ) from error


def train_options(arguments: argparse.Namespace) -> TrainOptions:
    """The command line as options.

    Raises:
        TrainingError: a number out of its range.
    """
    lows = {"steps": 1, "batch": 1, "crop": 32, "warmup": 0, "seed": 0, "clip": 0.0}
    lows |= {"flow_knee": 0.0, "flow_floor": 0.0, "coarse_batch": 1, "coarse_crop": 32, "coarsest": 0}
    lows |= {f"{name}_weight": 0.0 for name in (*FULL_LOSSES, "coarse")}
    for name, low in lows.items():
        if not low <= getattr(arguments, name) < math.inf:  # nor NaN
            raise TrainingError(f"{_option(name)} {getattr(arguments, name)}: expected at least {low}, and finite")
    if arguments.seed >= SEEDS:
        raise TrainingError(f"--seed {arguments.seed}: expected less than 2^63")
    for name in ("crop", "coarse_crop"):
        if getattr(arguments, name) % 16:
            given = f"{_option(name)} {getattr(arguments, name)}"
            raise TrainingError(f"{given}: expected a multiple of 16, for example 160 or 224")
    if not 0.0 < arguments.final_rate <= arguments.rate < 1.0:
        raise TrainingError(f"--rate {arguments.rate} --final-rate {arguments.final_rate}: expected 0 < final <= rate")
    if not 0.0 <= arguments.muon < math.inf:
        raise TrainingError(f"--muon {arguments.muon}: expected a ratio of rates like 0.3, or 0 for AdamW alone")
    if not 0.0 < arguments.beta2 < 1.0:
        raise TrainingError(f"--beta2 {arguments.beta2}: expected a decay between 0 and 1, for example 0.99")
    if not 0.0 <= arguments.average < 1.0:
        raise TrainingError(f"--average {arguments.average}: expected a decay from 0 to below 1, for example 0.999")
    if not 0.0 <= arguments.estimated_trust <= 1.0:
        raise TrainingError(f"--estimated-trust {arguments.estimated_trust}: expected 0 to 1")
    if not 1.0 <= arguments.fastest <= 200.0:
        raise TrainingError(f"--fastest {arguments.fastest}: expected 1 to 200 pixels")
    paper = TrainOptions()
    wide = WideScenes(side=arguments.coarse_crop, batch=arguments.coarse_batch, slowest=arguments.coarse_slowest)
    if not 0.1 <= wide.slowest <= wide.fastest:
        raise TrainingError(f"--coarse-slowest {wide.slowest}: expected 0.1 to {wide.fastest:.0f} pixels")
    if arguments.flow_floor and not arguments.flow_weight:
        raise TrainingError(
            f"--flow-floor {arguments.flow_floor} without --flow-weight is the floor of a loss that is off: give both"
        )
    if arguments.coarsest:
        _check_coarsest(arguments)
    return TrainOptions(
        variant=arguments.variant,
        steps=arguments.steps,
        batch=arguments.batch,
        crop=arguments.crop,
        rate=arguments.rate,
        final_rate=arguments.final_rate,
        beta2=arguments.beta2,
        muon=arguments.muon,
        warmup=arguments.warmup,
        schedule=Schedule(arguments.schedule),
        clip=arguments.clip,
        average=arguments.average,
        precision=paper.precision if arguments.precision == AUTO else Precision(arguments.precision),
        weights=LossWeights(
            reconstruction=arguments.reconstruction_weight,
            geometry=arguments.geometry_weight,
            distillation=arguments.distillation_weight,
            psnr=arguments.psnr_weight,
            flow=arguments.flow_weight,
            flow_floor=arguments.flow_floor,
            flow_knee=arguments.flow_knee,
            coarse=arguments.coarse_weight,
        ),
        wide=wide,
        coarsest=arguments.coarsest,
        estimated_trust=arguments.estimated_trust,
        estimator=arguments.estimator,
        resident=arguments.resident,
        fastest=arguments.fastest,
        seed=arguments.seed,
        data=tuple(arguments.data),
    )


def _check_coarsest(arguments: argparse.Namespace) -> None:
    """Refuse what a run of the coarsest decoder alone would leave out without a word."""
    given = f"--coarsest {arguments.coarsest}"
    if not arguments.coarse_weight:
        raise TrainingError(f"{given} has no loss: give a --coarse-weight, for example 1")
    unused = [f"--data {text}" for text in arguments.data if not text.startswith("synthetic=")]
    defaults = LossWeights()
    for name in FULL_LOSSES:
        value = getattr(arguments, f"{name}_weight")
        if value not in (0.0, getattr(defaults, name)):  # the default was not asked for
            unused.append(f"{_option(name)}-weight {value}")
    if unused or len(arguments.data) > 1:
        raise TrainingError(
            f"{given} learns from --coarse-weight and the pictures of one --data synthetic=DIR alone, never from "
            f"{', '.join(unused) or 'a second --data'}: leave that out"
        )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def run_options(arguments: argparse.Namespace) -> RunOptions:
    """The command line as options of the machine.

    Raises:
        TrainingError: a number out of its range.
    """
    for name, low in (("workers", 0), ("threads", 1), ("save_seconds", 0.0), ("evaluate_steps", 0)):
        value = getattr(arguments, name)
        if value is not None and not value >= low:
            raise TrainingError(f"{_option(name)} {value}: expected at least {low}")
    return RunOptions(
        workers=arguments.workers,
        threads=arguments.threads,
        save_seconds=arguments.save_seconds,
        evaluate_steps=arguments.evaluate_steps,
        compile=arguments.compile,
    )


def evaluate(arguments: argparse.Namespace) -> int:
    """Quick figures of a run's weights on the evaluation footage, and on synthetic motion at three times."""
    import torch

    from ifrnet.model import IFRNet
    from ifrnet.training import state as states
    from ifrnet.training.clips import Pictures
    from ifrnet.training.evaluate import quick_evaluation
    from ifrnet.training.synthetic import SyntheticMotion, SyntheticOptions
    from ifrnet.variants import VARIANTS

    for name in ("threads", "scenes"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise TrainingError(f"{_option(name)} {value}: expected at least 1")
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    state = states.load(arguments.state)
    model = IFRNet(VARIANTS[state.options["variant"]])
    model.load_state_dict(state.weights())
    scenes = None
    if arguments.pictures is not None:
        scenes = SyntheticMotion(Pictures(arguments.pictures), SyntheticOptions(side=256, noise=0.0))
    print(f"step {state.step}")
    for name, value in quick_evaluation(scenes, arguments.scenes)(model).items():
        print(f"{name:<16}{value:8.2f} dB")
    return 0


def mean(arguments: argparse.Namespace) -> int:
    """Write the mean of a run's weights and others as a state."""
    from ifrnet.training import state as states
    from ifrnet.training.mean import mean_state

    if (arguments.output / states.FILE).exists():
        raise TrainingError(f"{arguments.output / states.FILE} exists: give --output another folder")
    path = states.save(mean_state(arguments.state, arguments.weights, arguments.share), arguments.output)
    print(f"wrote {path}")
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Write the shipped form of a run's weights with its provenance."""
    from ifrnet.training.export import export_weights

    evaluation: dict[str, Any] = {}
    if arguments.evaluation is not None:
        content = _json(arguments.evaluation, dict)
        if not {"command", "rows"} <= content.keys():
            raise TrainingError(f"{arguments.evaluation}: expected the JSON of `python -m benchmarks accuracy`")
        evaluation = {"command": content["command"], "rows": content["rows"]}
    data = _json(arguments.data, list) if arguments.data is not None else None
    path = export_weights(
        arguments.state,
        arguments.output,
        command=arguments.trained_by or "python -m ifrnet.training train, with the options below",
        data=data,
        openly_licensed=arguments.openly_licensed,
        evaluation=evaluation,
    )
    print(f"wrote {path} and {path.with_suffix('.json')}")
    return 0


def _json(path: Path, kind: type[Any]) -> Any:
    """A JSON file that holds one ``kind``."""
    try:
        content = parse_json(path.read_bytes())
    except ValueError as error:
        raise TrainingError(f"{path} is no JSON: {error}") from error
    if not isinstance(content, kind):
        raise TrainingError(f"{path} holds a {type(content).__name__}; expected a {kind.__name__}")
    return content
