"""The measurement behind ``accuracy``: every method on every sample, means over groups, the paper's figures beside."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from benchmarks.accuracy.datasets import open_dataset
from benchmarks.accuracy.methods import BASELINES, Method, Network, Prediction
from benchmarks.accuracy.metrics import flicker, interpolation_error, psnr, ssim
from benchmarks.accuracy.peers import PEERS
from benchmarks.accuracy.perceptual import SqueezeNet, distance
from benchmarks.accuracy.samples import Dataset, Sample
from benchmarks.accuracy.score_log import Score, ScoreLog
from benchmarks.accuracy.summary import summarise
from benchmarks.errors import BenchmarkError
from benchmarks.options import AccuracyOptions
from benchmarks.report import environment
from benchmarks.report.progress import Progress
from benchmarks.report.results_file import Kind, Results, command_line
from runtimes.base import Runtime
from runtimes.frames import to_tensor


def measure(options: AccuracyOptions, arguments: Sequence[str], progress: Progress) -> tuple[Results, ScoreLog]:
    """Run the whole measurement, or what an interrupted one left.

    Args:
        options: what to measure.
        arguments: the command line, for the results file.
        progress: where to show it.

    Raises:
        BenchmarkError: a dataset or a network that does not fit.
    """
    squeezenet = SqueezeNet(options.squeezenet, options.threads) if options.squeezenet else None
    progress.stage(f"opening {options.dataset}")
    dataset = open_dataset(options.dataset, options.root, options.crop, options.per_clip)
    with _networks(options, dataset, progress) as networks:
        methods: dict[str, Method] = {name: make() for name, make in BASELINES.items()} if options.baselines else {}
        methods |= {name: PEERS[name]() for name in options.peers} | networks
        variants = {name: network.runtime.manifest.variant for name, network in networks.items()}
        header = {
            "dataset": dataset.name,
            "samples": len(dataset),
            "crop": options.crop,
            "methods": list(methods),
            "perceptual": squeezenet is not None,
            "weights": [network.runtime.manifest.checkpoint.get("sha256") for network in networks.values()],
        }
        files = [dict(network.runtime.manifest.files) for network in networks.values()]
        journal = ScoreLog(options.journal, {**header, "root": str(options.root), "files": files})
        before = len({score.id for score in journal.scores})
        progress.stage(f"{dataset.name}: {len(dataset)} samples, {before} of them done before", len(dataset), before)
        _score(dataset, methods, journal, progress, options.models[0] if options.models else None, squeezenet)
    results = Results(
        kind=Kind.ACCURACY,
        command=command_line("accuracy", arguments),
        settings={**header, "scale": dataset.scale, "padding": dataset.padding.value, "threads": options.threads},
        environment=environment.describe(),
        rows=summarise(journal.scores, dataset.sections, variants),
        summary={"notes": list(dataset.notes), "samples": [vars(score) for score in journal.scores]},
    )
    return results, journal


@contextmanager
def _networks(options: AccuracyOptions, dataset: Dataset, progress: Progress) -> Iterator[dict[str, Network]]:
    """Models in PyTorch and artifacts, loaded; closed at the end of the block."""
    from benchmarks.accuracy.export_per_size import ExportPerSize
    from benchmarks.speed.eager import EagerRuntime
    from ifrnet import load_model
    from runtimes.registry import load

    with ExitStack() as stack:
        found: dict[str, Network] = {}

        def add(name: str, runtime: Runtime) -> None:
            if name in found:
                raise BenchmarkError(f"two networks are named {name}: rename one, or measure them apart")
            found[name] = Network(stack.enter_context(runtime), dataset)

        for name in options.models:
            add(name, EagerRuntime(load_model(name), scale=dataset.scale, threads=options.threads))
        for path in options.artifacts:
            runtime = load(path, device=options.device, threads=options.threads)
            add(f"{runtime.spec.name} on {runtime.spec.device}", runtime)
        for what in options.builds:
            built = ExportPerSize(
                what,
                options.models[0] if options.models else "ifrnet_s",
                scale=dataset.scale,
                device=options.device,
                threads=options.threads,
                folder=options.folder,
                report=progress.stage,
            )
            add(f"{built.spec.name} on {built.spec.device}", built)
        yield found


def _score(
    dataset: Dataset,
    methods: Mapping[str, Method],
    journal: ScoreLog,
    progress: Progress,
    model: str | None,
    squeezenet: SqueezeNet | None,
) -> None:
    """Measure what the journal does not have yet, window by window; networks are compared with ``model``."""
    for window, members in itertools.groupby(dataset.samples(journal.windows), key=lambda sample: sample.window):
        scores: list[Score] = []
        before: dict[str, tuple[Prediction, Prediction]] = {}
        for sample in members:
            truth = to_tensor(sample.truth)
            reference: Prediction | None = None
            true_features = squeezenet.features(truth) if squeezenet else None
            for name, method in methods.items():
                output = method(sample)
                if output is None:
                    continue
                score = _judge(name, sample, output, truth, before.get(name))
                if squeezenet and true_features:
                    score = replace(score, perceptual=distance(squeezenet.features(output), true_features))
                if reference is not None:
                    score = replace(score, model_psnr=psnr(reference, truth), to_model=psnr(output, reference))
                scores.append(score)
                before[name] = output, truth
                if name == model:
                    reference = output
            progress.advance()
        journal.add(window, scores)


def _judge(
    method: str, sample: Sample, output: Prediction, truth: Prediction, before: tuple[Prediction, Prediction] | None
) -> Score:
    return Score(
        method=method,
        id=sample.id,
        group=sample.group,
        psnr=psnr(output, truth),
        ssim=ssim(output, truth),
        ie=interpolation_error(output, truth),
        flicker=flicker(before[0], output, before[1], truth) if before else None,
        motion=sample.motion,
    )
