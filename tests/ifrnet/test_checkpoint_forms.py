"""Checkpoints as people have them: wrapped, prefixed, beside other things, in every protocol; and other files."""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from ifrnet import CheckpointError, UncheckedWeightsWarning, load_model, random_model
from ifrnet.state_dicts import find_weights
from runtimes.errors import RuntimesWarning

pytestmark = pytest.mark.filterwarnings("ignore::ifrnet.UncheckedWeightsWarning")

State = dict[str, Tensor]

Refusal = Callable[..., None]
PROTOCOLS = (2, 3, 4, 5)


def with_prefix(state: State, *prefixes: str) -> State:
    return {"".join(prefixes) + key: tensor for key, tensor in state.items()}


def zeros(state: State) -> State:
    return {key: torch.zeros_like(tensor) for key, tensor in state.items()}


def averaged(state: State) -> object:
    model = random_model("ifrnet_s", seed=12)
    model.load_state_dict(state)
    return torch.optim.swa_utils.AveragedModel(model).state_dict()


def compiled_parts(state: State) -> State:
    """As when torch.compile was given the encoder, and DataParallel one decoder."""
    return {
        key.replace("encoder.", "encoder._orig_mod.").replace("decoder2.", "decoder2.module."): tensor
        for key, tensor in state.items()
    }


def lightning(state: State) -> object:
    """What Lightning writes for a module that keeps the network, a loss with weights of its own, and its optimiser."""
    return {
        "epoch": 3,
        "global_step": 1200,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": with_prefix(state, "net.") | {"loss.vgg.features.0.weight": torch.ones(64, 3, 3, 3)},
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'psnr'}": {"best_model_score": torch.tensor(35.2), "dirpath": "x"}},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(3)}}, "param_groups": []}],
        "lr_schedulers": [],
        "hyper_parameters": {"lr": 1e-4, "variant": "S"},
    }


FORMS: dict[str, Callable[[State], object]] = {
    "compiled": lambda state: with_prefix(state, "_orig_mod."),
    "parallel and compiled": lambda state: with_prefix(state, "module.", "_orig_mod."),
    "compiled and parallel": lambda state: with_prefix(state, "_orig_mod.", "module."),
    "wrapped again and again": lambda state: with_prefix(state, "module.", "_orig_mod.", "module.", "module."),
    "model": lambda state: with_prefix(state, "model."),
    "net in a module": lambda state: with_prefix(state, "net.module."),
    "a name of its own": lambda state: with_prefix(state, "interpolator.backbone."),
    "parts": compiled_parts,
    "averaged": averaged,
    "averaged in parallel": lambda state: with_prefix(averaged(state), "module."),  # type: ignore[arg-type]
    "model_state_dict": lambda state: {"epoch": 1, "model_state_dict": state, "loss": 0.1},
    "params": lambda state: {"params": state},
    "params_ema": lambda state: {"params_ema": state, "iter": 400_000},
    "model in state_dict": lambda state: {"model": {"state_dict": with_prefix(state, "module.")}},
    "in a tuple": lambda state: (7, [state, {"lr": 0.1}]),
    "four keys deep": lambda state: {"a": {"b": {"c": {"d": state}}}},
    "twice the same": lambda state: {"model": (same := dict(state)), "best": same},
    "lightning": lightning,
    "numpy scalars": lambda state: {"net": state, "psnr": np.float64(35.5), "step": np.int64(3), "ok": np.bool_(True)},
    "numpy arrays": lambda state: {"net": state, "rng": np.random.RandomState(0).get_state(), "empty": np.zeros(0)},
    "arguments": lambda state: {"net": state, "args": argparse.Namespace(lr=1e-4, root=Path("/data"))},
    "sets and bytes": lambda state: {"net": state, "ids": {1, 2}, "raw": b"\x00\xff", "more": bytearray(b"abc")},
    "beside other networks": lambda state: {"net": state, "vgg": {"features.0.weight": torch.ones(3)}},
    "beside another shape": lambda state: {"net": state, "old": {key: tensor[:1] for key, tensor in state.items()}},
}


def assert_loads(path: Path, expected: State, **options: str) -> None:
    model = load_model(path, **options)
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, expected[key].float()), key


@pytest.mark.parametrize("form", FORMS)
def test_weights_are_found_by_their_structure(form: str, weights: State, tmp_path: Path) -> None:
    torch.save(FORMS[form](weights), tmp_path / "net.pth")
    assert_loads(tmp_path / "net.pth", weights)


def test_paths_that_python_3_13_wrote(weights: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("pathlib._local")
    written: type = type("PosixPath", (), {"__module__": module.__name__})
    written.__reduce__ = lambda _: (written, ("/", "data"))  # type: ignore[assignment, misc]
    module.PosixPath = written  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    torch.save({"net": weights, "root": written()}, tmp_path / "net.pth")
    monkeypatch.undo()
    assert_loads(tmp_path / "net.pth", weights)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_is_read(protocol: int, legacy: bool, weights: State, tmp_path: Path) -> None:
    others = ("numpy scalars", "numpy arrays", "arguments", "sets and bytes")
    content = {"params": with_prefix(weights, "module."), "others": [FORMS[form]({}) for form in others]}
    torch.save(content, tmp_path / "net.pth", pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    assert_loads(tmp_path / "net.pth", weights)


@pytest.mark.parametrize("name", ["a.pth", "a.pt", "a.ckpt", "a.pkl", "a.pth.tar", "a.PTH.TAR", "a.bin", "v1.0.pth"])
def test_every_usual_ending_is_read(name: str, weights: State, tmp_path: Path) -> None:
    torch.save({"state_dict": weights}, tmp_path / name)
    assert_loads(tmp_path / name, weights)
    info = load_model(tmp_path / name).info
    assert info is not None
    assert (info.name, info.source) == ("v1.0" if name.startswith("v") else "a", name)


def test_safetensors_may_have_prefixes_too(weights: State, tmp_path: Path) -> None:
    state = with_prefix(weights, "module._orig_mod.") | {"n_averaged": torch.tensor(3)}
    safetensors.torch.save_file(state, tmp_path / "net.safetensors")
    assert_loads(tmp_path / "net.safetensors", weights)


TWO: dict[str, tuple[Callable[[State, State], object], str, str]] = {
    # the weights, and others that fit; how the message lists them, and how to ask for the first
    "model and ema": (lambda state, other: {"model": other, "ema": state}, "model, ema", "ema"),
    "prefixes": (
        lambda state, other: (
            with_prefix(other, "model.") | with_prefix(state, "ema.module.") | {"ema.n_averaged": torch.tensor(3)}
        ),
        "model, ema",
        "ema",
    ),
    "in state_dict": (
        lambda state, other: {"state_dict": with_prefix(state, "teacher.") | with_prefix(other, "student.")},
        r"state_dict\.teacher, state_dict\.student",
        "teacher",
    ),
    "whole path": (lambda state, other: {"a": {"net": other}, "b": {"net": state}}, r"a\.net, b\.net", "b.net"),
    "wrappers only": (
        lambda state, other: with_prefix(state, "module.") | with_prefix(other, "_orig_mod."),
        "module, _orig_mod",
        "module",
    ),
    "list": (lambda state, other: {"nets": [other, state]}, r"nets\.0, nets\.1", "nets.1"),
}


@pytest.mark.parametrize("case", TWO)
def test_two_that_fit_are_refused_until_told_which(
    case: str, weights: State, tmp_path: Path, assert_refused: Refusal
) -> None:
    make, listed, which = TWO[case]
    torch.save(make(weights, zeros(weights)), tmp_path / "net.pth")
    assert_refused(tmp_path / "net.pth", f"holds 2 networks that fit IFRNet, {listed}: say which one with --weights")
    assert_refused(tmp_path / "net.pth", f"no one network called 'other'; it holds {listed}", weights="other")
    assert_loads(tmp_path / "net.pth", weights, weights=which)


def test_a_network_that_was_saved_alone_as_advised_loads(
    weights: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": zeros(weights), "ema": weights}, "net.pth")
    with pytest.raises(CheckpointError, match=r"for a command without --weights save it alone, torch\.save") as caught:
        load_model("net.pth")
    exec("import ifrnet, torch; " + str(caught.value).partition("save it alone, ")[2])
    assert_loads(tmp_path / "one.pth", weights)


def test_chosen_weights_are_named_in_what_is_made_of_them(weights: State, tmp_path: Path) -> None:
    torch.save({"model": zeros(weights), "state": {"ema": weights}}, tmp_path / "net.pth")
    info = load_model(tmp_path / "net.pth", weights="state.ema").info
    assert info is not None
    assert (info.name, info.source, info.provenance) == ("net-state-ema", "net.pth", {"weights": "state.ema"})
    also = load_model(tmp_path / "net.pth", weights="ema").info
    assert also is not None
    assert also.network == info.network == "state.ema"


def test_an_average_without_names_is_not_passed_over_in_silence(weights: State, tmp_path: Path) -> None:
    """As torch-ema writes it."""
    average = {"decay": 0.999, "num_updates": 10, "shadow_params": list(weights.values()), "collected_params": None}
    torch.save({"model": weights, "ema": average}, tmp_path / "net.pth")
    with pytest.warns(RuntimesWarning, match=r"net\.pth also holds an average .* without names \(shadow_params\)"):
        assert_loads(tmp_path / "net.pth", weights)


def test_the_only_weights_may_be_named(weights: State, tmp_path: Path, assert_refused: Refusal) -> None:
    torch.save({"ema": weights}, tmp_path / "net.pth")
    assert_loads(tmp_path / "net.pth", weights, weights="ema")
    info = load_model(tmp_path / "net.pth", weights="ema").info
    assert info is not None
    assert info.network == ""
    assert_refused(tmp_path / "net.pth", "no one network called 'model'; it holds ema", weights="model")
    assert_refused(tmp_path / "net.pth", r"called 'e\\x1bma'", weights="e\x1bma")


def test_an_ambiguous_choice_is_refused(weights: State, tmp_path: Path, assert_refused: Refusal) -> None:
    torch.save({"a": {"net": zeros(weights)}, "b": {"net": weights}}, tmp_path / "net.pth")
    assert_refused(tmp_path / "net.pth", r"no one network called 'net'; it holds a\.net, b\.net", weights="net")


@pytest.mark.parametrize("name", ["ifrnet_s", "random:ifrnet_s"])
def test_a_model_of_one_network_takes_no_choice(name: str) -> None:
    with pytest.raises(CheckpointError, match=r"holds one network; expected no choice of weights, got 'ema'"):
        load_model(name, weights="ema")


STRANGE: dict[str, tuple[Callable[[State], object], str]] = {
    "unknown inside the module": (
        lambda state: with_prefix(state, "module.") | {"module.gan.weight": torch.ones(1)},
        r"has the unknown gan\.weight",
    ),
    "number inside the module": (
        lambda state: with_prefix(state, "module.") | {"module.gain": 3.0},
        r"holds a float under 'module\.gain'",
    ),
    "two of one name": (
        lambda state: state | {"encoder.module.pyramid1.0.0.weight": state["encoder.pyramid1.0.0.weight"]},
        r"has the unknown encoder\.module\.pyramid1",
    ),
    "missing in a nested one": (
        lambda state: {"net": {key: tensor for key, tensor in state.items() if "decoder1" not in key}},
        r"lacks decoder1\.convblock",
    ),
    "another network": (
        lambda _: {"epoch": 3, "state_dict": {"conv1.weight": torch.ones(3), "fc.bias": torch.ones(1)}},
        r"lacks encoder.* and has the unknown conv1\.weight, fc\.bias",
    ),
    "nothing": (lambda _: {"epoch": 3}, "holds a int under 'epoch'"),
    "control characters": (
        lambda state: state | {"\x1b[2J\n": torch.ones(1)},
        r"has the unknown \\x1b\[2J\\n",
    ),
    "too deep": (lambda state: nested(state, 40), "holds a dict under 'x'"),
    "training state": (
        lambda state: {"model": state, "average": None, "optimiser": {}, "step": 1},
        r"is the state of a training run; make a checkpoint of it with `python -m ifrnet\.training export",
    ),
}


def nested(content: object, depth: int) -> object:
    for _ in range(depth):
        content = {"x": content}
    return content


@pytest.mark.parametrize("case", STRANGE)
def test_what_does_not_fit_is_named(case: str, weights: State, tmp_path: Path, assert_refused: Refusal) -> None:
    make, message = STRANGE[case]
    torch.save(make(weights), tmp_path / "net.pth")
    assert_refused(tmp_path / "net.pth", message)


def test_a_checkpoint_that_contains_itself_is_searched_once(weights: State) -> None:
    content: dict[str, object] = {"net": weights}
    content["self"], content["list"] = content, [content]
    assert find_weights(content, "net.pth").state.keys() == weights.keys()


def files_beside(path: Path, weights: State) -> Iterator[str]:
    """Write a checkpoint, and what may lie beside it."""
    torch.save(weights, path)
    yield json.dumps({"sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    yield json.dumps({"timesteps": "any"})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["net.pth", "net.pth.tar"])
def test_a_file_without_a_sha256_beside_it_is_said_to_be_unchecked(name: str, weights: State, tmp_path: Path) -> None:
    path, beside = tmp_path / name, tmp_path / "net.json"
    right, without = files_beside(path, weights)
    beside.write_text(right)
    load_model(path)  # no warning, which would be an error here
    beside.write_text(right.replace(json.loads(right)["sha256"], json.loads(right)["sha256"].upper()))
    load_model(path)  # as PowerShell prints it
    message = rf"{name} is used unchecked: .*write the right one as \{{\"sha256\": \"...\"\}} to net\.json"
    beside.write_text(without)
    with pytest.warns(UncheckedWeightsWarning, match=message):
        load_model(path)
    beside.unlink()
    with pytest.warns(UncheckedWeightsWarning, match=message):
        load_model(path)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["ifrnet_s", "random:ifrnet_s"])
def test_models_that_come_with_us_need_no_check(name: str) -> None:
    load_model(name)


def test_a_command_line_says_it_once_and_in_one_line(weights: State, tmp_path: Path) -> None:
    torch.save(weights, tmp_path / "net.pth")
    script = (
        "import sys\nfrom ifrnet import load_model\nfrom runtimes.cli import run\n"
        "def main(arguments):\n    for _ in range(2):\n        load_model(sys.argv[1])\n    return 0\n"
        "sys.exit(run('program', main))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "net.pth")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: net.pth is used unchecked: ")
