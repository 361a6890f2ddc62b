"""The coarsest decoder alone, on scenes that are encoded once."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ifrnet.model import pair_mean
from ifrnet.training import coarsest, loop, losses, state
from ifrnet.training.errors import TrainingError
from ifrnet.training.objective import TERMS
from ifrnet.training.options import LossWeights, RunOptions, Schedule, TrainOptions, WideScenes
from ifrnet.training.parallel import Processes
from ifrnet.training.samples import Augmentation, Batch, collate
from ifrnet.training.sources import wide_scenes
from ifrnet.training.stream import Mixture, Source
from ifrnet.training.synthetic import SyntheticMotion
from ifrnet.variants import FLOW_CHANNELS

ALONE = Processes(rank=0, world=1, device=torch.device("cpu"))
MACHINE = RunOptions(workers=0, threads=1, evaluate_steps=0, log_steps=1)
OPTIONS = TrainOptions(
    steps=4,
    rate=1e-3,
    muon=1.0,
    average=0.99,
    schedule=Schedule.CONSTANT,
    weights=LossWeights(coarse=1.0, flow_knee=10.0),
    wide=WideScenes(side=96, batch=2, slowest=4.0, fastest=20.0),
    coarsest=5,
)


def trained(folder: Path, scenes: SyntheticMotion, options: TrainOptions) -> loop.Run:
    run = loop.new_run(options, ALONE.device)
    loop.resume(run, folder)
    loop.train_coarsest(run, folder, _wide(scenes, options), MACHINE, ALONE)
    return run


def _wide(scenes: SyntheticMotion, options: TrainOptions) -> Source:
    wide = wide_scenes([Source(name="scenes", data=scenes, share=1.0)], options)
    assert wide is not None
    return wide


def _rendered(scenes: SyntheticMotion, options: TrainOptions, count: int) -> list[Batch]:
    """The scenes that a run of these options encodes, one by one."""
    mixture = Mixture([_wide(scenes, options)], options.wide.side, Augmentation(), options.seed + loop.WIDE_SEED)
    return [collate([mixture[index]]) for index in range(count)]


def test_two_and_two_steps_are_four_steps_bit_for_bit(tmp_path: Path, scenes: SyntheticMotion) -> None:
    def cut_off(_: object) -> dict[str, float]:
        raise KeyboardInterrupt

    whole = trained(tmp_path / "whole", scenes, OPTIONS)
    run, halves = loop.new_run(OPTIONS, ALONE.device), tmp_path / "halves"
    machine = replace(MACHINE, save_seconds=0.0, evaluate_steps=2)
    with pytest.raises(KeyboardInterrupt):
        loop.train_coarsest(run, halves, _wide(scenes, OPTIONS), machine, ALONE, cut_off)
    assert run.step == 2
    made = (halves / coarsest.SCENES).stat().st_mtime_ns
    second = loop.new_run(OPTIONS, ALONE.device)
    loop.resume(second, halves)
    loop.train_coarsest(
        second,
        halves,
        _wide(scenes, OPTIONS),
        replace(machine, evaluate_steps=3),
        ALONE,
        lambda _: {"kept": float((halves / coarsest.SCENES).stat().st_mtime_ns == made)},
    )
    assert (halves / "evaluations.csv").read_text().splitlines()[1].endswith(",1"), "the scenes were made again"
    assert whole.step == second.step == 4
    for one, other in ((whole.model, second.model), (whole.best(), second.best())):
        assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())


def test_nothing_else_is_trained_and_the_scenes_go_when_the_run_has_ended(
    tmp_path: Path, scenes: SyntheticMotion
) -> None:
    run = trained(tmp_path, scenes, OPTIONS)
    start = loop.new_run(OPTIONS, ALONE.device).model.state_dict()
    for weights in (run.model.state_dict(), run.best().state_dict()):
        moved = {".".join(key.split(".")[:2]) for key, value in weights.items() if not torch.equal(value, start[key])}
        assert moved == {"encoder.pyramid4", "decoder4.convblock"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.pt", "steps.csv"]
    rows = list(csv.DictReader((tmp_path / "steps.csv").read_text().splitlines()))
    assert all(float(row["loss"]) == float(row["coarse"]) > 0.0 for row in rows)
    before = (tmp_path / state.FILE).read_bytes()
    (tmp_path / coarsest.SCENES).write_bytes(b"left by a run that was killed while it ended")
    trained(tmp_path, scenes, OPTIONS)  # has ended: nothing is rendered again
    assert not (tmp_path / coarsest.SCENES).exists()
    assert (tmp_path / state.FILE).read_bytes() == before


def test_its_loss_is_the_coarse_loss_of_decoder_4(tmp_path: Path, scenes: SyntheticMotion) -> None:
    run = loop.new_run(OPTIONS, ALONE.device)
    with torch.no_grad():  # a network that has not learnt anything has no flow to compare
        for parameter in run.model.get_submodule("decoder4").parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    rendered = _rendered(scenes, OPTIONS, OPTIONS.coarsest)
    coarsest.encode(run.model, rendered, replace(OPTIONS, wide=replace(OPTIONS.wide, batch=1)), tmp_path)
    stored = coarsest.EncodedScenes(tmp_path, OPTIONS.seed)
    order = np.random.default_rng((OPTIONS.seed, 0)).permutation(OPTIONS.coarsest)
    objective = coarsest.CoarsestObjective(run.model, OPTIONS)
    turned = 0
    for place, index in enumerate(order):
        batch = rendered[index]
        (given,) = stored.batches([[place]])
        if float(given.t) != float(batch.t):
            turned += 1
            batch = batch._replace(
                img0=batch.img1, img1=batch.img0, t=1.0 - batch.t, flow0=batch.flow1, flow1=batch.flow0
            )
        assert float(given.t) == pytest.approx(float(batch.t))
        assert torch.allclose(given.flow0, F.avg_pool2d(batch.flow0, 8))
        mean = pair_mean(batch.img0, batch.img1)
        expected = run.model.encoder(batch.img0 - mean)[2]
        assert torch.allclose(given.features0.float(), expected, atol=1e-2 * float(expected.abs().max()))
        flows0, flows1 = run.model.coarse_flows(batch.img0 - mean, batch.img1 - mean, batch.t, 4)
        assert flows0[0].abs().max() > 0.1
        motion = torch.linalg.vector_norm(given.flow1 - given.flow0, dim=1).mean()
        counts = losses.standing_out(given.flow0, given.flow1)
        errors = [
            (counts * torch.linalg.vector_norm(8.0 * flow - reference, dim=1, keepdim=True)).mean()
            for flow, reference in ((flows0[0], given.flow0), (flows1[0], given.flow1))
        ]
        loss = dict(zip(TERMS, objective(given.to(ALONE.device)).tolist(), strict=True))
        assert loss["coarse"] == pytest.approx(float((10.0 / (10.0 + motion) * sum(errors)).detach()), rel=1e-3)
        assert loss == {**dict.fromkeys(TERMS, 0.0), "loss": loss["coarse"], "coarse": loss["coarse"]}
    assert 0 < turned < OPTIONS.coarsest


def test_features_that_were_lost_are_fitted_again_and_flows_stay(tmp_path: Path, scenes: SyntheticMotion) -> None:
    model = loop.new_run(OPTIONS, ALONE.device).model
    rendered = _rendered(scenes, OPTIONS, OPTIONS.coarsest)
    coarsest.encode(model, rendered, replace(OPTIONS, wide=replace(OPTIONS.wide, batch=1)), tmp_path)
    records = np.load(tmp_path / coarsest.SCENES)
    seen = torch.from_numpy(records["features"]).float().permute(1, 0, 4, 2, 3)
    t = torch.from_numpy(records["t"]).view(-1, 1, 1, 1)

    def outputs() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            out = coarsest.decoder4(model, seen[0], seen[1], t)
        return out[:, :FLOW_CHANNELS], out[:, FLOW_CHANNELS:]

    flows, features = outputs()
    last = model.get_parameter("decoder4.convblock.2.weight")
    with torch.no_grad():
        last[:, FLOW_CHANNELS:] = torch.randn(last[:, FLOW_CHANNELS:].shape, generator=torch.Generator().manual_seed(1))
    deviation = float(features.std())
    assert float((outputs()[1] - features).std()) > 0.5 * deviation
    coarsest.fit_features(model, tmp_path)
    fitted_flows, fitted = outputs()
    assert torch.equal(fitted_flows, flows)
    assert float((fitted - features).std()) < 0.02 * deviation  # half precision and the ridge


def test_every_epoch_sees_every_scene_in_another_order(tmp_path: Path, scenes: SyntheticMotion) -> None:
    run = loop.new_run(OPTIONS, ALONE.device)
    coarsest.encode(
        run.model, _rendered(scenes, OPTIONS, 5), replace(OPTIONS, wide=replace(OPTIONS.wide, batch=1)), tmp_path
    )
    stored = coarsest.EncodedScenes(tmp_path, 0)

    def seen(index: int) -> tuple[float, ...]:
        flows = stored[index].flow0, stored[index].flow1
        return tuple(sorted(float(flow.abs().sum()) for flow in flows))  # whichever way time runs

    epochs = [[seen(5 * epoch + place) for place in range(5)] for epoch in range(2)]
    assert len(set(epochs[0])) == 5
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1])


def test_more_scenes_than_the_disk_holds_are_refused(tmp_path: Path, scenes: SyntheticMotion) -> None:
    with pytest.raises(TrainingError, match=r"--coarsest 1000000000 takes .* GB free: ask for fewer scenes"):
        trained(tmp_path, scenes, replace(OPTIONS, coarsest=1_000_000_000))
    assert list(tmp_path.iterdir()) == []


def test_several_processes_are_refused(tmp_path: Path, scenes: SyntheticMotion) -> None:
    run = loop.new_run(OPTIONS, ALONE.device)
    with pytest.raises(TrainingError, match="run it without torchrun"):
        loop.train_coarsest(run, tmp_path, _wide(scenes, OPTIONS), MACHINE, replace(ALONE, world=2))
