"""The loop: exact resume, refusals, a lost cause stops with its batch, and a network that can learn at all."""

from __future__ import annotations

import csv
import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ifrnet import load_model
from ifrnet.errors import CheckpointError
from ifrnet.training import loop, state
from ifrnet.training.errors import TrainingError
from ifrnet.training.evaluate import psnr
from ifrnet.training.mean import mean_state
from ifrnet.training.objective import Objective
from ifrnet.training.options import LossWeights, RunOptions, Schedule, TrainOptions, WideScenes
from ifrnet.training.parallel import Processes
from ifrnet.training.samples import Augmentation, Sample, collate
from ifrnet.training.sources import wide_scenes
from ifrnet.training.stream import Mixture, Source, batches
from ifrnet.training.synthetic import SyntheticMotion, SyntheticOptions
from runtimes import atomic
from runtimes.errors import RuntimesWarning

ALONE = Processes(rank=0, world=1, device=torch.device("cpu"))
MACHINE = RunOptions(workers=0, threads=1, evaluate_steps=0, log_steps=1)
SMALL = TrainOptions(
    steps=4, batch=2, crop=48, rate=1e-3, warmup=2, clip=1.0, average=0.99, weights=LossWeights(flow=0.01)
)
WIDE = WideScenes(side=64, batch=1)
NO_AUGMENTATION = Augmentation(channels=0.0, vertical=0.0, horizontal=0.0, transpose=0.0, time=0.0)


def trained(folder: Path, data: SyntheticMotion, options: TrainOptions) -> loop.Run:
    run = loop.new_run(options, ALONE.device)
    loop.resume(run, folder)
    sources = [Source(name="scenes", data=data, share=1.0)]
    loop.train(run, folder, sources, MACHINE, ALONE, wide=wide_scenes(sources, options))
    return run


@pytest.mark.parametrize(("muon", "coarse"), [(0.0, 0.0), (0.3, 0.01)])
def test_two_and_two_steps_are_four_steps_bit_for_bit(
    tmp_path: Path, scenes: SyntheticMotion, muon: float, coarse: float
) -> None:
    weights = replace(SMALL.weights, coarse=coarse)
    constant = replace(SMALL, schedule=Schedule.CONSTANT, muon=muon, weights=weights, wide=WIDE)
    whole = trained(tmp_path / "whole", scenes, constant).snapshot()
    trained(tmp_path / "halves", scenes, replace(constant, steps=2))
    halves = trained(tmp_path / "halves", scenes, constant).snapshot()
    assert whole.step == halves.step == 4
    assert whole.average is not None
    assert halves.average is not None
    for key in whole.model:
        assert torch.equal(whole.model[key], halves.model[key]), key
        assert torch.equal(whole.average[key], halves.average[key]), key
    for name, moment in (("adamw", "exp_avg_sq"), ("muon", "momentum_buffer")) if muon else (("", "exp_avg_sq"),):
        states = [(run.optimiser[name] if name else run.optimiser)["state"] for run in (whole, halves)]
        assert len(states[0]) > 30
        for first, second in zip(*(list(moments.values()) for moments in states), strict=True):
            assert torch.equal(first[moment], second[moment])
    start = loop.new_run(constant, ALONE.device).model.state_dict()
    assert any(not torch.equal(start[key], whole.model[key]) for key in start)


def test_logs_have_a_row_a_step(tmp_path: Path, scenes: SyntheticMotion) -> None:
    trained(tmp_path, scenes, SMALL)
    rows = list(csv.DictReader((tmp_path / "steps.csv").read_text().splitlines()))
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4]
    assert all(float(row["loss"]) > float(row["reconstruction"]) > 0.0 for row in rows)
    assert float(rows[0]["rate"]) < float(rows[1]["rate"])


def test_evaluation_runs_on_the_average_and_is_logged(tmp_path: Path, scenes: SyntheticMotion) -> None:
    run = loop.new_run(SMALL, ALONE.device)
    seen = []

    def evaluate(model: object) -> dict[str, float]:
        seen.append(model)
        return {"clip": 12.5}

    machine = replace(MACHINE, evaluate_steps=2)
    loop.train(run, tmp_path, [Source(name="s", data=scenes, share=1.0)], machine, ALONE, evaluate)
    assert seen == [run.best()] * 2
    assert run.best() is not run.model
    rows = list(csv.DictReader((tmp_path / "evaluations.csv").read_text().splitlines()))
    assert [(row["step"], row["clip"]) for row in rows] == [("2", "12.5"), ("4", "12.5")]


def test_another_variant_refuses_to_resume(tmp_path: Path, scenes: SyntheticMotion) -> None:
    trained(tmp_path, scenes, replace(SMALL, steps=1))
    with pytest.raises(TrainingError, match="variant = ifrnet_s, asked for ifrnet"):
        trained(tmp_path, scenes, replace(SMALL, variant="ifrnet"))
    other = loop.new_run(replace(SMALL, variant="ifrnet"), ALONE.device)
    with pytest.raises(TrainingError, match="holds ifrnet_s, this run trains ifrnet"):
        loop.start_from(other, str(tmp_path / state.FILE))


def test_a_changed_learning_rate_refuses_to_resume(tmp_path: Path, scenes: SyntheticMotion) -> None:
    trained(tmp_path, scenes, replace(SMALL, steps=1))
    with pytest.raises(TrainingError, match=r"rate = 0\.001, asked for 0\.002"):
        trained(tmp_path, scenes, replace(SMALL, rate=2e-3))


def test_starting_from_another_run_takes_its_average(tmp_path: Path, scenes: SyntheticMotion) -> None:
    first = trained(tmp_path, scenes, SMALL)
    second = loop.new_run(SMALL, ALONE.device)
    loop.start_from(second, str(tmp_path / state.FILE))
    assert second.step == 0
    assert second.parent is not None
    assert second.parent["step"] == 4
    expected = first.best().state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in second.model.state_dict().items())


def test_an_option_that_a_state_does_not_know_had_the_effect_of_its_default(
    tmp_path: Path, scenes: SyntheticMotion
) -> None:
    trained(tmp_path, scenes, replace(SMALL, steps=1))
    old = state.load(tmp_path / state.FILE)
    del old.options["estimated_trust"], old.options["weights"]["coarse"]
    state.save(old, tmp_path)
    assert trained(tmp_path, scenes, replace(SMALL, steps=2)).step == 2
    state.save(old, tmp_path)
    with pytest.raises(TrainingError, match=r"estimated_trust = 0\.3, asked for 0\.0"):
        trained(tmp_path, scenes, replace(SMALL, estimated_trust=0.0))
    with pytest.raises(TrainingError, match=r"'coarse': 0\.0.*, asked for .*'coarse': 0\.1"):
        trained(tmp_path, scenes, replace(SMALL, weights=replace(SMALL.weights, coarse=0.1), wide=WIDE))


def test_a_copied_state_is_known_by_its_content(tmp_path: Path, scenes: SyntheticMotion) -> None:
    first = trained(tmp_path, scenes, SMALL)
    copy = (tmp_path / state.FILE).rename(tmp_path / "best.pt")
    second = loop.new_run(SMALL, ALONE.device)
    loop.start_from(second, str(copy))
    expected = first.best().state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in second.model.state_dict().items())
    with pytest.raises(CheckpointError, match="is the state of a training run"):  # its "model" is not the average
        load_model(copy)


def test_fine_tuning_starts_from_a_checkpoint() -> None:
    run = loop.new_run(SMALL, ALONE.device)
    loop.start_from(run, "ifrnet_s")
    assert run.parent is not None
    assert "data" in run.parent["provenance"]
    assert "evaluation" not in run.parent["provenance"], "figures add up from checkpoint to checkpoint"
    expected = load_model("ifrnet_s")
    assert all(torch.equal(value, expected.state_dict()[key]) for key, value in run.model.state_dict().items())
    assert expected.info is not None
    assert run.parent["sha256"] == expected.info.sha256
    assert next(run.model.parameters()).requires_grad


@pytest.mark.parametrize("content", [b"", b"not a state", None])
def test_a_damaged_state_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / state.FILE
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"state\.pt (does not exist|is not a readable)"):
        state.load(path)


def test_a_state_with_a_part_missing_is_one_line(tmp_path: Path) -> None:
    torch.save({"format": state.FORMAT, "step": 1}, tmp_path / state.FILE)
    with pytest.raises(TrainingError, match="is not a whole training state"):
        state.load(tmp_path / state.FILE)


def test_a_state_of_another_format_is_refused(tmp_path: Path) -> None:
    torch.save({"format": 99}, tmp_path / state.FILE)
    with pytest.raises(TrainingError, match="format 1"):
        state.load(tmp_path / state.FILE)


@dataclass
class Poison:
    """A scene whose flow is NaN from the third sample on."""

    scenes: SyntheticMotion

    def draw(self, index: int, rng: np.random.Generator) -> Sample:
        sample = self.scenes.at(0.5, rng)
        return replace(sample, flow0=sample.flow0 * np.float32(np.nan)) if index >= 4 else sample


def test_a_loss_that_is_not_finite_stops_with_step_and_batch(tmp_path: Path, scenes: SyntheticMotion) -> None:
    run = loop.new_run(SMALL, ALONE.device)
    source = Source(name="poison", data=Poison(scenes), share=1.0)
    with pytest.raises(TrainingError, match="not finite at step 2"):
        loop.train(run, tmp_path, [source], MACHINE, ALONE)
    kept = torch.load(tmp_path / "bad-batch-2.pt")
    assert kept["step"] == 2
    assert bool(kept["given"][0][4].isnan().any())
    assert all(bool(value.isfinite().all()) for value in run.model.state_dict().values())


@pytest.mark.parametrize("save_seconds", [0.0, 1e9])
def test_a_last_step_that_spoils_the_weights_leaves_the_state_before(
    tmp_path: Path, scenes: SyntheticMotion, monkeypatch: pytest.MonkeyPatch, save_seconds: float
) -> None:
    """No loss comes after it in which it would show."""
    trained(tmp_path, scenes, replace(SMALL, steps=3))
    before = (tmp_path / state.FILE).read_bytes()
    run = loop.new_run(SMALL, ALONE.device)
    loop.resume(run, tmp_path)
    monkeypatch.setattr(run.optimiser, "step", lambda _: poisoned(run.model))
    sources = [Source(name="s", data=scenes, share=1.0)]
    with pytest.raises(TrainingError, match=r"weight is not finite after step 4, so this state is not written to .*pt"):
        loop.train(run, tmp_path, sources, replace(MACHINE, save_seconds=save_seconds), ALONE)
    assert (tmp_path / state.FILE).read_bytes() == before


def poisoned(model: torch.nn.Module) -> None:
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_state_whose_weights_are_not_finite_is_refused(tmp_path: Path, average: float) -> None:
    """Of versions that wrote one: training, evaluate, mean and export read it alike."""
    run = loop.new_run(replace(SMALL, average=average), ALONE.device)
    poisoned(run.best())
    torch.save({"format": state.FORMAT, **vars(run.snapshot())}, tmp_path / state.FILE)
    with pytest.raises(TrainingError, match=r"holds NaN or infinity in encoder\.pyramid1\.0\.0\.weight at step 0;"):
        state.load(tmp_path / state.FILE)


def test_a_state_without_tensors_is_one_line(tmp_path: Path) -> None:
    content = {"format": state.FORMAT, **vars(loop.new_run(SMALL, ALONE.device).snapshot())}
    torch.save({**content, "model": {"encoder": 5}}, tmp_path / state.FILE)
    with pytest.raises(TrainingError, match="is not a whole training state"):
        state.load(tmp_path / state.FILE)


@dataclass
class Ending:
    """Scenes; something happens before that of ``last``."""

    scenes: SyntheticMotion
    last: int
    then: Callable[[], None]

    def draw(self, index: int, rng: np.random.Generator) -> Sample:
        if index == self.last:
            self.then()
        return self.scenes.at(0.5, rng)


def ending(folder: Path, scenes: SyntheticMotion, then: Callable[[], None]) -> None:
    """A run whose third batch begins with ``then``."""
    source = Source(name="s", data=Ending(scenes, 2 * SMALL.batch, then), share=1.0)
    loop.train(loop.new_run(SMALL, ALONE.device), folder, [source], MACHINE, ALONE)


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def broken() -> None:
    raise TrainingError("broken")


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def steps_in(folder: Path) -> list[int]:
    return [int(row["step"]) for row in csv.DictReader((folder / "steps.csv").read_text().splitlines())]


@pytest.fixture
def terminal() -> Iterator[None]:
    """Ctrl-C as in a terminal: a shell has what it starts in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("terminal")
def test_ctrl_c_waits_for_the_step_and_saves_it(tmp_path: Path, scenes: SyntheticMotion) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt):
        ending(tmp_path, scenes, ctrl_c)
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert state.load(tmp_path / state.FILE).step == 3
    assert trained(tmp_path, scenes, SMALL).step == 4
    assert steps_in(tmp_path) == [1, 2, 3, 4]


@pytest.mark.usefixtures("terminal")
def test_ctrl_c_in_the_last_step_leaves_a_run_that_has_ended(tmp_path: Path, scenes: SyntheticMotion) -> None:
    """Nothing but the end of a run fits the features of the coarsest decoder."""
    run = loop.new_run(replace(SMALL, steps=2), ALONE.device)
    finished: list[int] = []
    inputs = Mixture([Source(name="s", data=Ending(scenes, 2, ctrl_c), share=1.0)], 48, NO_AUGMENTATION, 0)
    stream = ((b, torch.tensor(0.01)) for b in batches(inputs, loop._sampler(run, 2, ALONE), 0))
    objective = Objective(run.model, SMALL.weights, SMALL.precision)
    with pytest.raises(KeyboardInterrupt):
        loop._follow(run, objective, stream, tmp_path, MACHINE, ALONE, None, lambda: finished.append(run.step))
    assert finished == [2]
    assert state.load(tmp_path / state.FILE).step == 2


@pytest.mark.usefixtures("terminal")
def test_a_second_ctrl_c_does_not_wait(tmp_path: Path, scenes: SyntheticMotion) -> None:
    def twice() -> None:
        ctrl_c()
        ctrl_c()

    with pytest.raises(KeyboardInterrupt):
        ending(tmp_path, scenes, twice)
    assert not (tmp_path / state.FILE).exists()


@pytest.mark.usefixtures("terminal")
def test_what_a_signal_breaks_elsewhere_is_no_error_of_its_own(tmp_path: Path, scenes: SyntheticMotion) -> None:
    """Workers and other processes may get it too."""

    def both() -> None:
        ctrl_c()
        broken()

    with pytest.raises(KeyboardInterrupt):
        ending(tmp_path, scenes, both)
    assert state.load(tmp_path / state.FILE).step == 2


def test_another_thread_trains_without_handlers(tmp_path: Path, scenes: SyntheticMotion) -> None:
    thread = threading.Thread(target=trained, args=(tmp_path, scenes, replace(SMALL, steps=1)))
    thread.start()
    thread.join()
    assert state.load(tmp_path / state.FILE).step == 1


def test_data_that_cannot_be_read_on_leave_the_steps_before(tmp_path: Path, scenes: SyntheticMotion) -> None:
    with pytest.raises(TrainingError, match=r"^broken$"):
        ending(tmp_path, scenes, broken)
    assert state.load(tmp_path / state.FILE).step == 2


def test_rows_of_steps_that_are_taken_again_are_dropped(tmp_path: Path, scenes: SyntheticMotion) -> None:
    constant = replace(SMALL, schedule=Schedule.CONSTANT)
    trained(tmp_path, scenes, replace(constant, steps=2))
    with (tmp_path / "steps.csv").open("ab") as out:
        out.write(b"3,1,0.1\r\n4,1,0.1\r\n1")
    (tmp_path / "evaluations.csv").write_bytes(b"step,seconds,clip\r\n2,1,3.5\r\n3,1,3.6\r\n")
    trained(tmp_path, scenes, constant)
    assert steps_in(tmp_path) == [1, 2, 3, 4]
    assert (tmp_path / "evaluations.csv").read_bytes() == b"step,seconds,clip\r\n2,1,3.5\r\n"


def test_a_full_disk_costs_a_warning_until_the_end(
    tmp_path: Path, scenes: SyntheticMotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "sync", full)
    run = loop.new_run(SMALL, ALONE.device)
    machine, sources = replace(MACHINE, save_seconds=0.0), [Source(name="s", data=scenes, share=1.0)]
    with (
        pytest.warns(RuntimesWarning, match=r"state\.pt cannot be written \(No space left on device\)"),
        pytest.raises(OSError, match="No space left on device"),
    ):
        loop.train(run, tmp_path, sources, machine, ALONE)
    assert run.step == 4
    assert [path.name for path in tmp_path.iterdir()] == ["steps.csv"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_disk_that_fills_up_while_a_state_is_written_is_an_error_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch's own writer would raise RuntimeError, which says that it is a bug."""
    monkeypatch.setattr(atomic, "temporary_name", lambda _: tmp_path / "full")
    (tmp_path / "full").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        state.save(loop.new_run(SMALL, ALONE.device).snapshot(), tmp_path)


def test_a_full_disk_does_not_hide_that_the_loss_is_not_finite(
    tmp_path: Path, scenes: SyntheticMotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "sync", full)
    source = Source(name="poison", data=Poison(scenes), share=1.0)
    with pytest.raises(
        TrainingError, match=r"not finite at step 2 .* the batch cannot be written to .* \(No space left"
    ):
        loop.train(loop.new_run(SMALL, ALONE.device), tmp_path, [source], MACHINE, ALONE)


def test_rates_follow_the_schedule() -> None:
    cosine = TrainOptions(steps=100, rate=1e-4, final_rate=1e-5)
    assert loop.learning_rate(cosine, 0) == pytest.approx(1e-4)
    assert loop.learning_rate(cosine, 50) == pytest.approx(5.5e-5)
    assert loop.learning_rate(cosine, 100) == pytest.approx(1e-5)
    constant = TrainOptions(steps=100, rate=1e-4, warmup=10, schedule=Schedule.CONSTANT)
    assert [loop.learning_rate(constant, s) for s in (0, 9, 99)] == pytest.approx([1e-5, 1e-4, 1e-4])


@dataclass
class One:
    """Always the same sample."""

    sample: Sample

    def draw(self, index: int, rng: np.random.Generator) -> Sample:
        return self.sample


def test_one_triplet_is_learnt_beyond_40_db(tmp_path: Path, pictures: list[NDArray[np.uint8]]) -> None:
    scenes = SyntheticMotion(pictures, SyntheticOptions(side=48, fastest=12.0, noise=0.0))
    sample = scenes.at(0.5, np.random.default_rng(0))
    batch = collate([sample])
    assert psnr(0.5 * (batch.img0 + batch.img1), batch.truth) < 30.0
    options = TrainOptions(steps=260, batch=1, crop=48, rate=2e-3, final_rate=1e-4, warmup=10, clip=1.0)
    run = loop.new_run(options, ALONE.device)
    sources = [Source(name="one", data=One(sample), share=1.0)]
    loop.train(run, tmp_path, sources, replace(MACHINE, log_steps=50), ALONE, None, NO_AUGMENTATION)
    with torch.inference_mode():
        assert psnr(run.model(batch.img0, batch.img1, batch.t), batch.truth) > 40.0


def test_a_run_can_learn_flow_alone(tmp_path: Path, scenes: SyntheticMotion) -> None:
    alone = LossWeights(reconstruction=0.0, geometry=0.0, distillation=0.0, flow=1.0, flow_floor=1.0)
    run = trained(tmp_path, scenes, replace(SMALL, weights=alone, beta2=0.99))
    rows = list(csv.DictReader((tmp_path / "steps.csv").read_text().splitlines()))
    assert all(float(row["reconstruction"]) == 0.0 for row in rows)
    assert all(float(row["loss"]) == pytest.approx(float(row["flow"]), rel=1e-5) for row in rows)
    assert run.optimiser.adamw.param_groups[0]["betas"] == (0.9, 0.99)
    start = loop.new_run(run.options, ALONE.device).model.state_dict()
    moved = {key for key, value in run.model.state_dict().items() if not torch.equal(value, start[key])}
    assert "encoder.pyramid1.0.0.weight" in moved
    assert "decoder1.convblock.0.0.weight" in moved


@pytest.mark.parametrize("muon", [0.0, 0.3])
def test_the_coarse_flow_loss_teaches_encoder_and_coarse_decoders(
    tmp_path: Path, scenes: SyntheticMotion, muon: float
) -> None:
    alone = LossWeights(reconstruction=0.0, geometry=0.0, distillation=0.0, coarse=0.01)
    run = trained(tmp_path, scenes, replace(SMALL, weights=alone, wide=WIDE, muon=muon))
    rows = list(csv.DictReader((tmp_path / "steps.csv").read_text().splitlines()))
    assert all(float(row["coarse"]) > 1.0 for row in rows), "motion of 16 px and more has this error at the start"
    assert all(float(row["loss"]) == pytest.approx(0.01 * float(row["coarse"]), rel=1e-4) for row in rows)
    start = loop.new_run(run.options, ALONE.device).model.state_dict()
    moved = {
        key.partition(".")[0] for key, value in run.model.state_dict().items() if not torch.equal(value, start[key])
    }
    assert moved == {"encoder", "decoder4", "decoder3"}


def test_the_knee_lets_fast_scenes_count_less(tmp_path: Path, scenes: SyntheticMotion) -> None:
    alone = LossWeights(reconstruction=0.0, geometry=0.0, distillation=0.0, flow=1.0, flow_floor=1.0, coarse=0.01)
    for name, knee in (("pixels", 0.0), ("share", 10.0)):
        trained(tmp_path / name, scenes, replace(SMALL, steps=1, weights=replace(alone, flow_knee=knee), wide=WIDE))
    pixels, share = (
        next(csv.DictReader((tmp_path / name / "steps.csv").read_text().splitlines())) for name in ("pixels", "share")
    )
    for term, most in (("flow", 1.0), ("coarse", 0.5)):  # the wide scenes move by 12 px and more
        assert 0.0 < float(share[term]) < most * float(pixels[term])


def test_wide_scenes_are_of_large_motion_and_their_own(scenes: SyntheticMotion) -> None:
    options = replace(SMALL, weights=LossWeights(coarse=0.01), wide=WideScenes(side=96, slowest=20.0, fastest=40.0))
    wide = wide_scenes([Source(name="scenes", data=scenes, share=1.0)], options)
    assert wide is not None
    samples = [wide.data.draw(index, np.random.default_rng(index)) for index in range(8)]
    assert all(sample.truth.shape == (96, 96, 3) for sample in samples)
    # From frame 0 to 1, of what moves most: the camera may stand still.
    motion = [float(np.max(np.linalg.norm(s.flow1 - s.flow0, axis=-1))) for s in samples]
    assert 15.0 < np.median(motion) < 60.0
    assert wide_scenes([], replace(options, weights=LossWeights())) is None
    with pytest.raises(TrainingError, match="needs pictures: give --data synthetic=DIR"):
        wide_scenes([Source(name="one", data=One(samples[0]), share=1.0)], options)


def test_a_mean_of_weights_is_no_run_but_starts_one(tmp_path: Path, scenes: SyntheticMotion) -> None:
    run = trained(tmp_path / "run", scenes, replace(SMALL, steps=1))
    mean = mean_state(tmp_path / "run" / state.FILE, "ifrnet_s", 0.25)
    built_in, own = load_model("ifrnet_s").state_dict(), run.best().state_dict()
    assert all(torch.equal(mean.weights()[key], 0.75 * own[key] + 0.25 * built_in[key]) for key in own)
    assert mean.parent is not None
    assert mean.parent["mean_with"]["share"] == 0.25
    path = state.save(mean, tmp_path / "mean")
    with pytest.raises(TrainingError, match="holds a mean of weights and no run: begin one with --start-from"):
        trained(tmp_path / "mean", scenes, replace(SMALL, steps=2))
    second = loop.new_run(SMALL, ALONE.device)
    loop.start_from(second, str(path))
    assert all(torch.equal(value, mean.model[key]) for key, value in second.model.state_dict().items())
    trained(tmp_path / "large", scenes, replace(SMALL, steps=1, variant="ifrnet"))
    with pytest.raises(TrainingError, match=r"ifrnet_s holds ifrnet_s, .* ifrnet: expected one variant"):
        mean_state(tmp_path / "large" / state.FILE, "ifrnet_s", 0.25)
    with pytest.raises(TrainingError, match=r"--share 1\.0: expected a number between 0 and 1"):
        mean_state(tmp_path / "run" / state.FILE, "ifrnet_s", 1.0)
