"""The training loop: one function that starts or resumes a run and leaves its state behind."""

from __future__ import annotations

import itertools
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ifrnet.model import IFRNet
from ifrnet.training import coarsest
from ifrnet.training import state as states
from ifrnet.training.errors import TrainingError
from ifrnet.training.initial import initialise
from ifrnet.training.interruption import Interruption
from ifrnet.training.logs import Log
from ifrnet.training.objective import TERMS, Objective
from ifrnet.training.optimiser import Optimiser
from ifrnet.training.options import RunOptions, Schedule, TrainOptions
from ifrnet.training.parallel import Processes
from ifrnet.training.resident import ResidentMixture
from ifrnet.training.resident_scenes import ResidentPictures
from ifrnet.training.samples import Augmentation, Batch
from ifrnet.training.stream import Mixture, Source, StepSampler, batches
from ifrnet.variants import VARIANTS
from ifrnet.weights import load_model
from runtimes.atomic import write_bytes
from runtimes.errors import RuntimesWarning

Evaluate = Callable[[IFRNet], dict[str, float]]
"""Figures of a network by name, for the log."""

WIDE_SEED = 1 << 32
"""Added to the seed for the scenes of the coarse flow loss, which are others than those of the run."""

Tensors = tuple[Tensor, ...] | list[Tensor]


def learning_rate(options: TrainOptions, step: int) -> float:
    """The rate for the update from ``step`` to ``step + 1``."""
    warm = min(1.0, (step + 1) / options.warmup) if options.warmup else 1.0
    if options.schedule is Schedule.CONSTANT:
        return warm * options.rate
    share = min(1.0, step / max(1, options.steps))
    cosine = 0.5 * (1.0 + math.cos(math.pi * share))
    return warm * (options.final_rate + (options.rate - options.final_rate) * cosine)


@dataclass(kw_only=True)
class Run:
    """A network on its way, with all that a step changes."""

    options: TrainOptions
    model: IFRNet
    average: AveragedModel | None
    optimiser: Optimiser
    step: int = 0
    seconds: float = 0.0
    parent: dict[str, Any] | None = None

    def best(self) -> IFRNet:
        """The weights to evaluate and export: the average where there is one."""
        if self.average is None:
            return self.model
        averaged = self.average.module
        assert isinstance(averaged, IFRNet)
        return averaged

    def snapshot(self) -> states.State:
        """The state to write."""
        return states.State(
            step=self.step,
            options=self.options.as_record(),
            model=self.model.state_dict(),
            average=None if self.average is None else self.average.module.state_dict(),
            optimiser=self.optimiser.state_dict(),
            rng=torch.get_rng_state(),
            seconds=self.seconds,
            parent=self.parent,
        )


def new_run(options: TrainOptions, device: torch.device) -> Run:
    """Random weights from the seed, a fresh optimiser."""
    torch.manual_seed(options.seed)
    model = IFRNet(VARIANTS[options.variant])
    initialise(model, torch.Generator().manual_seed(options.seed))
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if options.coarsest:
        coarsest.freeze(model)
    average = None
    if options.average:
        average = AveragedModel(model, device=device, multi_avg_fn=_rising_average(options.average))
    return Run(options=options, model=model, average=average, optimiser=Optimiser(model, options))


def _rising_average(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Exponential average whose decay rises to its value, so that it soon forgets the random initial weights."""

    @torch.no_grad()
    def update(averages: Tensors, values: Tensors, count: Tensor | int) -> None:
        seen = int(count)
        share = 1.0 - min(decay, (1.0 + seen) / (10.0 + seen))
        torch._foreach_lerp_(averages, values, share)

    return update


def resume(run: Run, folder: Path) -> None:
    """Go on from ``folder``/state.pt where there is one."""
    path = folder / states.FILE
    if not path.exists():
        return
    state = states.load(path)
    if not state.optimiser:
        raise TrainingError(f"{path} holds a mean of weights and no run: begin one with --start-from {path}")
    states.check_resumable(state, run.options.as_record(), path)
    run.model.load_state_dict(state.model)
    if run.average is not None and state.average is not None:
        run.average.module.load_state_dict(state.average)
        run.average.n_averaged.fill_(state.step)
    run.optimiser.load_state_dict(state.optimiser)
    torch.set_rng_state(state.rng)
    run.step, run.seconds, run.parent = state.step, state.seconds, state.parent


def start_from(run: Run, source: str) -> None:
    """Take other weights as the initial ones of this run.

    Args:
        run: a new run.
        source: path of another run's state, whose averaged weights are taken, or whatever
            :func:`ifrnet.load_model` takes: a built-in name, an official checkpoint, safetensors.

    Raises:
        TrainingError: weights of another variant.
        CheckpointError: no such checkpoint.
    """
    variant, weights, parent = _initial(source)
    if variant != run.options.variant:
        raise TrainingError(
            f"{source} holds {variant}, this run trains {run.options.variant}: pass --variant {variant}"
        )
    run.model.load_state_dict(weights)
    if run.average is not None:
        run.average.module.load_state_dict(weights)
    run.parent = parent


def check_start(run: Run, source: str, path: Path) -> None:
    """Refuse to go on with a run that began from something else than ``source``.

    Raises:
        TrainingError: it did, or from that run at another step.
        CheckpointError: no such checkpoint.
    """
    _, _, parent = _initial(source)
    now, began = (None if p is None else {k: p[k] for k in p if k != "provenance"} for p in (parent, run.parent))
    if now != began:
        raise TrainingError(
            f"{path} is a run that began from {_told(run.parent)}, asked for {source}, {_told(parent)}: leave "
            "--start-from out to go on, or use another run folder"
        )


def _initial(source: str) -> tuple[str, dict[str, Tensor], dict[str, Any]]:
    """Variant, weights and record of what a run is to begin from."""
    state = states.find(Path(source))
    if state is not None:
        parent = {"step": state.step, "options": state.options, "parent": state.parent}
        return state.options["variant"], state.weights(), parent
    model = load_model(source)
    assert model.info is not None
    # Without its figures: they are in its own file, and a line of checkpoints would outgrow what a loader reads.
    told = {key: value for key, value in model.info.provenance.items() if key != "evaluation"}
    parent = {"checkpoint": model.info.name, "sha256": model.info.sha256, "provenance": told}
    return model.variant.name, model.state_dict(), parent


def _told(parent: Mapping[str, Any] | None) -> str:
    """A record of initial weights in a few words."""
    if parent is None:
        return "random weights"
    if "checkpoint" in parent:
        return f"{parent['checkpoint']} with sha256 {parent['sha256'][:12]}"
    return f"the state of a run at step {parent['step']}"


def train(
    run: Run,
    folder: Path,
    sources: list[Source],
    machine: RunOptions,
    processes: Processes,
    evaluate: Evaluate | None = None,
    augmentation: Augmentation | None = None,
    wide: Source | None = None,
) -> None:
    """Train to ``options.steps``; state and logs go to ``folder``, written by the first process alone.

    Only the first process is given ``evaluate``; the others wait for it where the next gradients are averaged.
    ``wide`` has the scenes of the coarse flow loss. Ctrl-C, SIGTERM and data that cannot be read end it with the state
    of the last step saved.

    Raises:
        TrainingError: the loss is not finite, and its step and batch are kept in ``folder``; or the weights are not.
        OSError: the last state cannot be written.
    """
    options = run.options
    augmentation = augmentation or Augmentation()
    mixture = Mixture(sources, options.crop, augmentation, options.seed)
    held: dict[int, ResidentPictures] = {}
    stream = _stream(mixture, _sampler(run, options.batch, processes), options, machine, processes, held)
    wides: Iterable[Batch | None] = itertools.repeat(None)
    if wide is not None:
        scenes = _wide(options, wide, augmentation)
        wides = _stream(scenes, _sampler(run, options.wide.batch, processes), options, machine, processes, held)

    def inputs() -> Iterator[tuple[Any, ...]]:
        for batch, scene in zip(stream, wides, strict=False):  # one of them may have no end
            flow_weight = torch.tensor(options.weights.flow_at(run.step), device=processes.device)
            yield batch.to(processes.device), flow_weight, None if scene is None else scene.to(processes.device)

    objective = Objective(run.model, options.weights, options.precision)
    _follow(run, objective, inputs(), folder, machine, processes, evaluate)


def train_coarsest(
    run: Run,
    folder: Path,
    wide: Source,
    machine: RunOptions,
    processes: Processes,
    evaluate: Evaluate | None = None,
) -> None:
    """Train decoder 4 alone, see :mod:`ifrnet.training.coarsest`: first encode its scenes, then go on as :func:`train`.

    The scenes stay in ``folder`` until the run has ended, so that one that was cut off need not make them again.

    Raises:
        TrainingError: several processes, scenes that the disk does not hold, or as :func:`train`.
    """
    options, files = run.options, [folder / coarsest.SCENES, folder / coarsest.KNOWN]
    if processes.world > 1:
        raise TrainingError("--coarsest is for one process, whose --threads may be several: run it without torchrun")
    if machine.threads is not None:
        torch.set_num_threads(machine.threads)
    if run.step >= options.steps:
        _remove(files)
        return
    # Without a state nobody knows which options the files were made with.
    if not run.step or not all(file.exists() for file in files):
        steps = -(-options.coarsest // options.wide.batch)
        sampler = StepSampler(first_step=0, last_step=steps, batch=options.wide.batch, rank=0, world=1)
        scenes = _stream(_wide(options, wide, Augmentation()), sampler, options, machine, processes, {})
        coarsest.encode(run.model, (batch.to(processes.device) for batch in scenes), options, folder)
    stored = coarsest.EncodedScenes(folder, options.seed).batches(_sampler(run, options.wide.batch, processes))
    inputs = ((batch.to(processes.device),) for batch in stored)

    def finish() -> None:
        for model in (run.model, run.best()) if run.average is not None else (run.model,):
            coarsest.fit_features(model, folder)

    objective = coarsest.CoarsestObjective(run.model, options)
    _follow(run, objective, inputs, folder, machine, processes, evaluate, finish)
    _remove(files)


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _follow(
    run: Run,
    objective: nn.Module,
    inputs: Iterable[tuple[Any, ...]],
    folder: Path,
    machine: RunOptions,
    processes: Processes,
    evaluate: Evaluate | None,
    finish: Callable[[], None] | None = None,
) -> None:
    """A step for each of ``inputs``, which are what ``objective`` takes; state and logs go to ``folder``.

    ``finish`` may change the weights once more before they are written for the last time.
    """
    if machine.threads is not None:
        torch.set_num_threads(machine.threads)
    torch.backends.cudnn.benchmark = True  # all steps have the same shapes
    objective = processes.wrap(objective)
    if machine.compile:
        objective = torch.compile(objective)  # type: ignore[assignment]
    with ExitStack() as stack:
        interruption = stack.enter_context(Interruption())
        log = stack.enter_context(Log(folder, run.step, run.options.steps, machine, processes.first))
        began, saved = time.monotonic(), time.monotonic()
        before = run.seconds
        try:
            for given in _readable(inputs, run, folder, processes):
                terms = _step(run, objective, given, folder)
                run.seconds = before + time.monotonic() - began
                log.step(run.step, run.seconds, learning_rate(run.options, run.step - 1), terms)
                if interruption.asked is not None and run.step < run.options.steps:  # the last step is not the end yet
                    _save_or_warn(run, folder, processes)
                    raise KeyboardInterrupt
                if time.monotonic() - saved >= machine.save_seconds:
                    _save_or_warn(run, folder, processes)
                    saved = time.monotonic()
                if evaluate is not None and machine.evaluate_steps and run.step % machine.evaluate_steps == 0:
                    log.evaluation(run.step, run.seconds, evaluate(run.best()))
        except Exception:
            # Workers and other processes may have got the signal too: what they leave undone is no error of its own.
            if interruption.asked is None:
                raise
            raise KeyboardInterrupt from None
        if finish is not None:
            finish()
        if processes.first:
            states.save(run.snapshot(), folder)
        processes.wait()


def _readable(
    inputs: Iterable[tuple[Any, ...]], run: Run, folder: Path, processes: Processes
) -> Iterator[tuple[Any, ...]]:
    """``inputs``; where they cannot be read on, what has been learnt so far is saved first."""
    try:
        yield from inputs
    except Exception:
        _save_or_warn(run, folder, processes)
        raise


def _save_or_warn(run: Run, folder: Path, processes: Processes) -> None:
    """A state that can be spared: a full disk may have room again when the next one is due."""
    if not processes.first:
        return
    try:
        states.save(run.snapshot(), folder)
    except OSError as error:
        # Without the step: the same words again are not shown again.
        warnings.warn(
            f"{folder / states.FILE} cannot be written ({error.strerror or error}): the state before stays; make room",
            RuntimesWarning,
            stacklevel=2,
        )


def _stream(
    mixture: Mixture,
    sampler: StepSampler,
    options: TrainOptions,
    machine: RunOptions,
    processes: Processes,
    held: dict[int, ResidentPictures],
) -> Iterator[Batch]:
    """The batches of the sampler's steps, from the loader or from what the device holds."""
    if options.resident:
        return ResidentMixture(mixture, processes.device, held).batches(sampler)
    return batches(mixture, sampler, machine.workers)


def _wide(options: TrainOptions, wide: Source, augmentation: Augmentation) -> Mixture:
    """The scenes of the coarse flow loss."""
    seed = options.seed + WIDE_SEED
    return Mixture([wide], options.wide.side, augmentation, seed)


def _sampler(run: Run, batch: int, processes: Processes) -> StepSampler:
    """The indices of the samples that this process still has to see."""
    return StepSampler(
        first_step=run.step,
        last_step=run.options.steps,
        batch=batch,
        rank=processes.rank,
        world=processes.world,
    )


def _step(run: Run, objective: nn.Module, given: tuple[Any, ...], folder: Path) -> dict[str, float]:
    """One update. Returns the loss terms by name."""
    terms: Tensor = objective(*given)
    values = dict(zip(TERMS, terms.detach().tolist(), strict=True))
    if not all(math.isfinite(value) for value in values.values()):
        raise TrainingError(
            f"the loss is not finite at step {run.step} ({values}); the batch {_kept(run, values, given, folder)}, the "
            f"last good state in {folder / states.FILE}: lower the learning rate or clip the gradient"
        )
    terms[0].backward()  # type: ignore[no-untyped-call]
    if run.options.clip:
        nn.utils.clip_grad_norm_(run.model.parameters(), run.options.clip)
    run.optimiser.step(learning_rate(run.options, run.step))
    run.step += 1
    if run.average is not None:
        run.average.update_parameters(run.model)
    return values


def _kept(run: Run, values: dict[str, float], given: tuple[Any, ...], folder: Path) -> str:
    """Write a batch that spoils the run; where it is, or why it is not."""
    path, content = folder / f"bad-batch-{run.step}.pt", BytesIO()
    plain = [tuple(part) if isinstance(part, tuple) else part for part in given]  # loads without our classes
    torch.save({"step": run.step, "terms": values, "given": plain}, content)
    try:
        write_bytes(path, content.getvalue())
    except OSError as error:
        return f"cannot be written to {path} ({error.strerror or error})"
    return f"is kept in {path}"
