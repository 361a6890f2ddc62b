"""``python -m ifrnet.training``: the whole road in small, two processes, and one line for a user's error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ifrnet import load_model
from ifrnet.training import state
from ifrnet.training.__main__ import main

ROOT = Path(__file__).resolve().parents[3]
SMALL = ["--crop", "32", "--rate", "1e-3", "--seed", "5", "--workers", "0", "--threads", "1", "--evaluate-steps", "0"]


def train(folder: Path, pictures: Path, *more: str) -> list[str]:
    return ["train", "--folder", str(folder), "--data", f"synthetic={pictures}", *SMALL, *more]


def test_train_resume_and_export(tmp_path: Path, picture_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    once = train(folder, picture_folder, "--batch", "1", "--schedule", "constant")
    assert main([*once, "--steps", "1"]) == 0
    assert main([*once, "--steps", "2"]) == 0
    assert "from step 1 to 2" in capsys.readouterr().err
    assert state.load(folder / "state.pt").step == 2
    assert main(["export", "--state", str(folder / "state.pt"), "--output", str(tmp_path / "weights")]) == 0
    assert load_model(tmp_path / "weights.safetensors").variant.name == "ifrnet_s"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--folder", "x", "--data", "clips=nowhere"], "nowhere holds no clips.json"),
        (["train", "--folder", "x", "--data", "vimeo=nowhere"], "nowhere is not Vimeo90K"),
        (["train", "--folder", "x", "--data", "gopro=nowhere", "--distillation-weight", "0"], "nothing usable"),
        (["train", "--folder", "x", "--data", "synthetic=nowhere"], "holds no pictures"),
        (["train", "--folder", "x", "--data", "clips=nowhere", "--crop", "100"], "expected a multiple of 16"),
        (["train", "--folder", "x", "--data", "clips=nowhere", "--batch", "0"], "--batch 0: expected at least 1"),
        (["train", "--folder", "x", "--data", "clips=nowhere", "--rate", "0"], "expected 0 < final <= rate"),
        (["train", "--folder", "x", "--data", "clips=nowhere", "--average", "1"], "expected a decay"),
        (["train", "--folder", "x", "--data", "clips=nowhere", "--fastest", "0"], "expected 1 to 200 pixels"),
        (["flow", "--root", "nowhere"], "looked for tri_trainlist.txt"),
        (["prepare", "--videos", "nowhere", "--output", "x"], "looked for videos"),
        (["evaluate", "--state", "nowhere.pt"], "nowhere.pt does not exist"),
        (["export", "--state", "nowhere.pt", "--output", "x"], "nowhere.pt does not exist"),
    ],
)
def test_user_errors_are_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_usage_errors_exit_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["train", "--variant", "ifrnet_xl"])
    assert caught.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_two_processes_take_the_steps_of_one_with_twice_the_batch(tmp_path: Path, picture_folder: Path) -> None:
    """torchrun with gloo on the CPU: gradients are averaged, the samples of a step are shared out."""
    steps = ["--steps", "2", "--device", "cpu"]
    assert main(train(tmp_path / "one", picture_folder, "--batch", "2", *steps)) == 0
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29653"]
    command = [*launcher, "-m", "ifrnet.training", *train(tmp_path / "two", picture_folder, "--batch", "1", *steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 process(es) on cpu" in done.stderr
    one, two = (state.load(tmp_path / name / "state.pt") for name in ("one", "two"))
    assert one.step == two.step == 2
    # Adam's first moments are running means of the gradients: those of two half batches are those of the whole one.
    for first, second in zip(one.optimiser["state"].values(), two.optimiser["state"].values(), strict=True):
        scale = float(first["exp_avg"].abs().max())
        assert torch.allclose(first["exp_avg"], second["exp_avg"], atol=2e-2 * scale + 1e-9)
    other = [float(value["exp_avg"].abs().max()) for value in one.optimiser["state"].values()]
    assert max(other) > 0.0
