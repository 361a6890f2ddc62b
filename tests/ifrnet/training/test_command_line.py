"""``python -m ifrnet.training``: the whole road in small, two processes, and one line for a user's error."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ifrnet import load_model
from ifrnet.footage.errors import FootageError
from ifrnet.training import evaluate, precision, state
from ifrnet.training.__main__ import main
from ifrnet.training.options import Precision

ROOT = Path(__file__).resolve().parents[3]
SMALL = ["--crop", "32", "--rate", "1e-3", "--seed", "5", "--workers", "0", "--threads", "1", "--evaluate-steps", "0"]

COARSEST = ["train", "--folder", "x", "--data", "synthetic=nowhere", "--coarsest", "9", "--coarse-weight", "1"]


def train(folder: Path, pictures: Path, *more: str) -> list[str]:
    return ["train", "--folder", str(folder), "--data", f"synthetic={pictures}", *SMALL, *more]


def test_train_resume_and_export(tmp_path: Path, picture_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    once = train(folder, picture_folder, "--batch", "1", "--schedule", "constant")
    assert main([*once, "--steps", "1"]) == 0
    assert main([*once, "--steps", "2"]) == 0
    assert "from step 1 to 2" in capsys.readouterr().err
    assert state.load(folder / "state.pt").step == 2
    mean = ["mean", "--state", str(folder / "state.pt"), "--with", "ifrnet_s", "--output"]
    assert main([*mean, str(tmp_path / "mean")]) == 0
    assert state.load(tmp_path / "mean" / "state.pt").step == 2
    before = (folder / "state.pt").read_bytes()
    assert main([*mean, str(folder)]) == 1
    assert "state.pt exists: give --output another folder" in capsys.readouterr().err
    assert (folder / "state.pt").read_bytes() == before
    assert main(["export", "--state", str(folder / "state.pt"), "--output", str(tmp_path / "weights")]) == 0
    assert load_model(tmp_path / "weights.safetensors").variant.name == "ifrnet_s"


def test_the_coarsest_decoder_alone_and_then_all_of_it(
    tmp_path: Path, picture_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes = ["--coarsest", "4", "--coarse-weight", "1", "--coarse-crop", "64"]
    coarsest = [*scenes, "--steps", "2", "--start-from", "ifrnet_s"]
    assert main(train(tmp_path / "first", picture_folder, *coarsest)) == 0
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == ["state.pt", "steps.csv"]
    more = ["--batch", "1", "--steps", "1", "--start-from", str(tmp_path / "first" / "state.pt")]
    assert main(train(tmp_path / "second", picture_folder, *more)) == 0
    assert main(["export", "--state", str(tmp_path / "second" / "state.pt"), "--output", str(tmp_path / "own")]) == 0
    record = json.loads((tmp_path / "own.json").read_text())
    assert record["started_from"]["options"]["coarsest"] == 4
    assert record["started_from"]["parent"]["checkpoint"] == "ifrnet_s"
    capsys.readouterr()
    assert main(train(tmp_path / "first", picture_folder, *coarsest, "--coarse-slowest", "3")) == 1
    assert "is a run with wide = " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--folder", "x", "--data", "clips=nowhere"], "nowhere holds no clips.json"),
        (["train", "--folder", "x", "--data", "vimeo=nowhere"], "nowhere is not Vimeo90K"),
        (["train", "--folder", "x", "--data", "gopro=nowhere", "--distillation-weight", "0"], "nothing usable"),
        (["train", "--folder", "x", "--data", "synthetic=nowhere"], "holds no pictures"),
        (["train", "--folder", "x", "--data", "clips=nowhere", "--crop", "100"], "expected a multiple of 16"),
        (
            ["train", "--folder", "x", "--data", "clips=nowhere", "--coarse-crop", "100"],
            "--coarse-crop 100: expected a",
        ),
        (["train", "--folder", "x", "--data", "clips=nowhere", "--flow-knee", "nan"], "--flow-knee nan: expected at l"),
        (["train", "--folder", "x", "--data", "clips=nowhere", "--coarse-weight", "-1"], "--coarse-weight -1.0: expec"),
        (
            ["train", "--folder", "x", "--data", "clips=nowhere", "--coarsest", "9"],
            "--coarsest 9 has no loss: give a --coarse-weight, for example 1",
        ),
        (["train", "--folder", "x", "--data", "clips=nowhere", "--coarsest", "-1"], "--coarsest -1: expected at least"),
        (
            ["train", "--folder", "x", "--data", "clips=nowhere", "--coarse-slowest", "nan"],
            "--coarse-slowest nan: expected 0.1 to 160 pixels",
        ),
        (["train", "--folder", "x", "--data", "clips=nowhere", "--batch", "0"], "--batch 0: expected at least 1"),
        (["train", "--folder", "x", "--data", "clips=nowhere", "--rate", "0"], "expected 0 < final <= rate"),
        (["train", "--folder", "x", "--data", "clips=nowhere", "--average", "1"], "expected a decay"),
        (["train", "--folder", "x", "--data", "clips=nowhere", "--muon", "-1"], "expected a ratio of rates"),
        (["train", "--folder", "x", "--data", "clips=nowhere", "--fastest", "0"], "expected 1 to 200 pixels"),
        (["train", "--folder", "x", "--data", "clips=nowhere", "--estimated-trust", "2"], "expected 0 to 1"),
        (["train", "--folder", "x", "--data", "clips=nowhere", "--clip", "-1"], "--clip -1.0: expected at least 0"),
        (["train", "--folder", "x", "--data", "clips=nowhere", "--clip", "nan"], "--clip nan: expected at least 0"),
        (["train", "--folder", "x", "--data", "clips=nowhere", "--seed", "-1"], "--seed -1: expected at least 0"),
        (["train", "--folder", "x", "--data", "clips=nowhere", "--threads", "0"], "--threads 0: expected at least 1"),
        (["train", "--folder", "x", "--data", "clips=nowhere", "--workers", "-1"], "--workers -1: expected at least 0"),
        (
            ["train", "--folder", "x", "--data", "clips=nowhere", "--psnr-weight", "-1"],
            "--psnr-weight -1.0: expected at least 0",
        ),
        (
            ["train", "--folder", "x", "--data", "clips=nowhere", "--reconstruction-weight", "inf"],
            "--reconstruction-weight inf: expected at least 0.0, and finite",
        ),
        (
            ["train", "--folder", "x", "--data", "clips=nowhere", "--geometry-weight", "nan"],
            "--geometry-weight nan: expected",
        ),
        (
            ["train", "--folder", "x", "--data", "clips=nowhere", "--flow-floor", "1"],
            "--flow-floor 1.0 without --flow-weight",
        ),
        (["train", "--folder", "x", "--data", "clips=nowhere", "--seed", "9" * 20], "expected less than 2^63"),
        (
            ["train", "--folder", "x", "--data", "clips=nowhere", "--coarsest", "9", "--coarse-weight", "1"],
            "never from --data clips=nowhere: leave that out",
        ),
        (
            [*COARSEST, "--reconstruction-weight", "2", "--flow-weight", "1"],
            "never from --reconstruction-weight 2.0, --flow-weight 1.0: leave that out",
        ),
        ([*COARSEST, "--data", "synthetic=other"], "never from a second --data: leave that out"),
        (["evaluate", "--state", "nowhere.pt", "--threads", "0"], "--threads 0: expected at least 1"),
        (["evaluate", "--state", "nowhere.pt", "--scenes", "0"], "--scenes 0: expected at least 1"),
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


def test_evaluation_footage_that_cannot_be_had_says_how_to_go_on(
    tmp_path: Path, picture_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fetch(name: str) -> Path:
        raise FootageError(f"cannot fetch {name}")

    monkeypatch.setattr(evaluate, "fetch", fetch)
    assert main(train(tmp_path / "run", picture_folder, "--evaluate-steps", "1")) == 1
    error = capsys.readouterr().err
    assert "--evaluate-steps 0 trains without it" in error


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line(
    tmp_path: Path, picture_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(train(tmp_path / "run", picture_folder, "--device", "cuda")) == 1
    assert "PyTorch finds no GPU here" in capsys.readouterr().err


def test_processes_that_nobody_numbered_are_one_line(
    tmp_path: Path, picture_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "LOCAL_RANK", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert main(train(tmp_path / "run", picture_folder)) == 1
    assert "but RANK=, LOCAL_RANK=, MASTER_PORT=: expected the numbers that torchrun sets" in capsys.readouterr().err


def test_sigterm_ends_a_run_as_usual_with_its_step_saved(tmp_path: Path, picture_folder: Path) -> None:
    once = train(tmp_path / "run", picture_folder, "--batch", "1", "--steps", "1000000")
    once[once.index("--workers") + 1] = "1"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "ifrnet.training", *once]
    with subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True) as process:
        rows, until = tmp_path / "run" / "steps.csv", time.monotonic() + 120
        while not rows.exists() and time.monotonic() < until:  # the first row comes after 50 steps
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGTERM)  # as a service manager does it: the worker gets it too
        assert process.wait(60) == -signal.SIGTERM
    assert state.load(tmp_path / "run" / "state.pt").step >= 50


def test_the_help_promises_nothing_of_trust_that_distillation_breaks(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert "estimates none" not in capsys.readouterr().out


def test_other_data_refuse_to_resume(tmp_path: Path, picture_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    once = train(tmp_path / "run", picture_folder, "--batch", "1", "--steps", "1")
    assert main(once) == 0
    capsys.readouterr()
    once[once.index(f"synthetic={picture_folder}")] += "@0.5"
    assert main(once) == 1
    assert "is a run with data = " in capsys.readouterr().err


def test_another_start_refuses_to_resume(
    tmp_path: Path, picture_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    once = train(tmp_path / "run", picture_folder, "--batch", "1", "--schedule", "constant")
    assert main([*once, "--steps", "1", "--start-from", "ifrnet_s"]) == 0
    assert main([*once, "--steps", "2", "--start-from", "ifrnet_s"]) == 0
    path = tmp_path / "run" / state.FILE
    before = path.read_bytes()
    capsys.readouterr()
    for other, message in (
        (
            "random:ifrnet_s",
            "began from ifrnet_s with sha256 .*, asked for random:ifrnet_s, .*: leave --start-from out",
        ),
        (str(path), "began from ifrnet_s with sha256 .*, asked for .*, the state of a run at step 2: leave"),
        (str(tmp_path / "none.pth"), "none.pth: no such file"),
    ):
        assert main([*once, "--steps", "3", "--start-from", other]) == 1
        assert re.search(message, capsys.readouterr().err)
    assert path.read_bytes() == before
    assert main([*once, "--steps", "3"]) == 0


def test_a_run_that_began_from_another_goes_on_from_the_same(
    tmp_path: Path, picture_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = train(tmp_path / "first", picture_folder, "--batch", "1", "--schedule", "constant")
    second = train(tmp_path / "second", picture_folder, "--batch", "1", "--schedule", "constant")
    start = ["--start-from", str(tmp_path / "first" / state.FILE)]
    assert main([*first, "--steps", "1"]) == 0
    assert main([*second, *start, "--steps", "1"]) == 0
    assert main([*second, *start, "--steps", "2"]) == 0
    assert main([*first, *start, "--steps", "2"]) == 1
    assert "began from random weights, asked for" in capsys.readouterr().err
    assert main([*first, "--steps", "2"]) == 0
    assert main([*second, *start, "--steps", "3"]) == 1
    assert "began from the state of a run at step 1, asked for" in capsys.readouterr().err


def test_fewer_steps_than_a_run_has_leave_it_alone(
    tmp_path: Path, picture_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    once = train(tmp_path / "run", picture_folder, "--batch", "1", "--schedule", "constant")
    path = tmp_path / "run" / state.FILE
    assert main([*once, "--steps", "2"]) == 0
    before = path.read_bytes()
    capsys.readouterr()
    assert main([*once, "--steps", "1"]) == 0
    assert capsys.readouterr().err == f"{path} is at step 2 already, beyond --steps 1\n"
    assert path.read_bytes() == before


@pytest.mark.parametrize(("flags", "chosen"), [("sse2 avx512_bf16", "bfloat16"), ("sse2 avx512f", "float32")])
def test_the_processor_decides_the_precision_of_a_new_run_and_the_run_that_of_the_next(
    flags: str,
    chosen: str,
    tmp_path: Path,
    picture_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    once = train(tmp_path / "run", picture_folder, "--batch", "1", "--device", "cpu", "--schedule", "constant")
    assert main([*once, "--steps", "1"]) == 0
    assert f"in {chosen} (this processor has" in capsys.readouterr().err
    assert state.load(tmp_path / "run" / "state.pt").options["precision"] == chosen
    (tmp_path / "cpuinfo").write_text("flags: avx512_bf16" if chosen == "float32" else "flags: sse2")
    assert main([*once, "--steps", "2"]) == 0
    assert f"in {chosen} (the run began with it)" in capsys.readouterr().err
    assert main([*once, "--steps", "2", "--precision", "float32"]) == (0 if chosen == "float32" else 1)


def test_a_machine_that_tells_nothing_of_its_processor_trains_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "CPU_INFO", Path("nowhere"))
    assert precision.pick_precision("cpu")[0] is Precision.FLOAT32
    assert precision.pick_precision("cuda")[0] is Precision.BFLOAT16


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is no JSON"), ("[]", "holds a list; expected a dict"), ("{}", "expected the JSON of")],
)
def test_an_evaluation_that_is_none_is_one_line(
    content: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "e.json").write_text(content)
    arguments = ["export", "--state", "x.pt", "--output", "x", "--evaluation", str(tmp_path / "e.json")]
    assert main(arguments) == 1
    assert message in capsys.readouterr().err


def test_usage_errors_exit_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["train", "--variant", "ifrnet_xl"])
    assert caught.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_two_processes_take_the_steps_of_one_with_twice_the_batch(tmp_path: Path, picture_folder: Path) -> None:
    """torchrun with gloo on the CPU: gradients are averaged, the samples of a step are shared out, one evaluates."""
    steps = ["--steps", "2", "--device", "cpu", "--precision", "float32"]
    script = tmp_path / "without_clips.py"
    script.write_text(
        "import sys\nfrom ifrnet.training import evaluate\nfrom ifrnet.training.__main__ import main\n"
        "evaluate.evaluation_clips = tuple\nsys.exit(main(sys.argv[1:]))\n"
    )
    assert main(train(tmp_path / "one", picture_folder, "--batch", "2", *steps)) == 0
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29653"]
    more = ("--batch", "1", *steps, "--evaluate-steps", "1")
    command = [*launcher, str(script), *train(tmp_path / "two", picture_folder, *more)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 process(es) on cpu" in done.stderr
    one, two = (state.load(tmp_path / name / "state.pt") for name in ("one", "two"))
    assert one.step == two.step == 2
    assert len((tmp_path / "two" / "evaluations.csv").read_text().splitlines()) == 3
    # Adam's first moments are running means of the gradients: those of two half batches are those of the whole one.
    for first, second in zip(one.optimiser["state"].values(), two.optimiser["state"].values(), strict=True):
        scale = float(first["exp_avg"].abs().max())
        assert torch.allclose(first["exp_avg"], second["exp_avg"], atol=2e-2 * scale + 1e-9)
    other = [float(value["exp_avg"].abs().max()) for value in one.optimiser["state"].values()]
    assert max(other) > 0.0
