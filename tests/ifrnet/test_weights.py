"""Checkpoints: what loads, what is refused, and that nothing in a file is ever run."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import ifrnet
from export.parity_frames import moving_frame
from ifrnet import (
    BUILTIN,
    VARIANTS,
    CheckpointError,
    ModelError,
    Timesteps,
    checkpoint_files,
    interpolate,
    load_model,
    random_model,
)
from ifrnet.state_dicts import recognise
from ifrnet.weights import CHECKPOINTS
from runtimes.contract import Size

pytestmark = pytest.mark.filterwarnings("ignore::ifrnet.UncheckedWeightsWarning")

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def weights() -> State:
    return dict(random_model("ifrnet_s", seed=11).state_dict())


def saved(content: object, path: Path) -> Path:
    if path.suffix == ".safetensors":
        assert isinstance(content, dict)
        safetensors.torch.save_file(content, path)
    else:
        torch.save(content, path)
    return path


def prefixed(state: State) -> State:
    return {f"module.{key}": tensor for key, tensor in state.items()}


FORMS: dict[str, Callable[[State], object]] = {
    "plain": lambda state: state,
    "ordered": OrderedDict,
    "module": prefixed,
    "state_dict": lambda state: {"state_dict": state, "epoch": 300, "best": 35.6},
    "model module": lambda state: {"model": prefixed(state), "optimizer": {"lr": 1e-4, "betas": (0.9, 0.999)}},
    "parameters": lambda state: {key: nn.Parameter(tensor) for key, tensor in state.items()},
}


@pytest.mark.parametrize("form", FORMS)
def test_official_files_load_in_every_form(form: str, weights: State, tmp_path: Path) -> None:
    model = load_model(saved(FORMS[form](weights), tmp_path / "IFRNet_S.pth"))
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, weights[key]), key
    assert model.variant.name == "ifrnet_s"
    assert not model.training
    assert all(p.dtype is torch.float32 and not p.requires_grad for p in model.parameters())


def test_old_pytorch_files_load(weights: State, tmp_path: Path) -> None:
    torch.save(weights, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(load_model(tmp_path / "old.pth").state_dict()["encoder.pyramid1.0.0.weight"],
                       weights["encoder.pyramid1.0.0.weight"])  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_other_precisions_become_float32(suffix: str, dtype: torch.dtype, weights: State, tmp_path: Path) -> None:
    stored = {key: tensor.to(dtype) for key, tensor in weights.items()}
    model = load_model(str(saved(stored, tmp_path / f"net{suffix}")))
    for key, tensor in model.state_dict().items():
        assert tensor.dtype is torch.float32
        assert torch.equal(tensor, stored[key].float()), key


@pytest.mark.parametrize("name", VARIANTS)
def test_variant_follows_from_the_shapes(name: str) -> None:
    assert recognise(random_model(name).state_dict(), "x.pth") is VARIANTS[name]


def test_info_names_the_file_and_not_its_folder(weights: State, tmp_path: Path) -> None:
    path = saved(weights, tmp_path / "IFRNet_S_GoPro.pth")
    info = load_model(path).info
    assert info is not None
    assert (info.name, info.source, info.format) == ("IFRNet_S_GoPro", "IFRNet_S_GoPro.pth", "pth")
    assert info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert info.provenance == {}
    assert str(tmp_path) not in repr(info)


@pytest.mark.parametrize("name", BUILTIN)
def test_builtin_checkpoint_is_whole_and_has_its_provenance(name: str) -> None:
    model = load_model(name)
    assert model.info is not None
    assert model.info.name == model.variant.name == name
    assert model.info.source == f"{name}.safetensors"
    assert model.info.provenance["sha256"] == model.info.sha256
    assert json.loads(json.dumps(model.info.provenance)) == model.info.provenance
    assert (CHECKPOINTS / f"{name}.json").is_file()


def test_builtin_ifrnet_s_serves_any_time() -> None:
    """A frame for t is nearer to the scene at t than to the scene at any other eighth."""
    model = load_model("ifrnet_s")
    assert model.info is not None
    assert model.info.timesteps is Timesteps.ANY
    eighths = [i / 8 for i in range(9)]
    scene = [torch.from_numpy(moving_frame(Size(192, 128), t)) for t in eighths]
    for i in range(1, 8):
        made = interpolate(model, scene[0], scene[-1], torch.full((1, 1, 1, 1), eighths[i]))
        errors = [float(((made - truth) ** 2).mean()) for truth in scene]
        assert errors.index(min(errors)) == i, f"t = {eighths[i]}: {errors}"


def test_builtin_with_a_changed_byte_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stem = "ifrnet_s"
    data = bytearray((CHECKPOINTS / f"{stem}.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / f"{stem}.safetensors").write_bytes(data)
    (tmp_path / f"{stem}.json").write_bytes((CHECKPOINTS / f"{stem}.json").read_bytes())
    monkeypatch.setattr(ifrnet.weights, "CHECKPOINTS", tmp_path)
    with pytest.raises(CheckpointError, match=r"has sha256 .* beside it expects"):
        load_model("ifrnet_s")


def without_t(state: State) -> State:
    """As trained on Vimeo90K: the weights of the t channel are zero."""
    entry = state["decoder4.convblock.0.0.weight"].clone()
    entry[:, -1] = 0.0
    return state | {"decoder4.convblock.0.0.weight": entry}


CONTRACTS: dict[str, tuple[bool, object, str | None, Timesteps]] = {
    # zero t channel, "timesteps" in the JSON, "timesteps" in the metadata, expected
    "free": (False, None, None, Timesteps.ANY),
    "zero channel": (True, None, None, Timesteps.MIDDLE),
    "narrowed by JSON": (False, [0.5], None, Timesteps.MIDDLE),
    "narrowed by metadata": (False, None, "[0.5]", Timesteps.MIDDLE),
    "narrowed by a number": (False, None, "0.5", Timesteps.MIDDLE),
    "any": (False, "any", "any", Timesteps.ANY),
    "not widened by JSON": (True, "any", None, Timesteps.MIDDLE),
    "not widened by metadata": (False, [0.5], "any", Timesteps.MIDDLE),
}


@pytest.mark.parametrize("case", CONTRACTS)
def test_timestep_contract(case: str, weights: State, tmp_path: Path) -> None:
    zero, claim, metadata, expected = CONTRACTS[case]
    safetensors.torch.save_file(
        without_t(weights) if zero else weights,
        tmp_path / "net.safetensors",
        metadata=None if metadata is None else {"timesteps": metadata},
    )
    if claim is not None:
        (tmp_path / "net.json").write_text(json.dumps({"timesteps": claim}))
    info = load_model(tmp_path / "net.safetensors").info
    assert info is not None
    assert info.timesteps is expected


PROVENANCES: dict[str, tuple[str, str]] = {
    "no JSON": ("{", "is no JSON"),
    "empty": ("", "is empty"),
    "list": ("[0.5]", "holds a list; expected a JSON object"),
    "NaN": ('{"loss": NaN}', "NaN is no JSON number"),
    "nested": ("[" * 50_000, "is no JSON|recursion"),
    "other times": ('{"timesteps": [0.25, 0.5]}', r"says timesteps '\[0\.25, 0\.5\]'"),
    "other file": ('{"sha256": "00"}', "expects 00"),
    "large": (json.dumps({"x": "y" * 70_000}), "expected at most 65536"),
}


@pytest.mark.parametrize("case", PROVENANCES)
def test_provenance_that_does_not_fit_is_refused(case: str, weights: State, tmp_path: Path) -> None:
    text, message = PROVENANCES[case]
    saved(weights, tmp_path / "net.pth")
    (tmp_path / "net.json").write_text(text)
    assert_refused(tmp_path / "net.pth", message)


def test_deep_json_does_not_overflow_the_stack(weights: State, tmp_path: Path) -> None:
    saved(weights, tmp_path / "net.pth")
    (tmp_path / "net.json").write_text("[" * 60_000)
    script = "import sys, ifrnet; sys.setrecursionlimit(10**6); ifrnet.load_model(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "net.pth")], capture_output=True, text=True)
    assert done.returncode == 1, "a negative code is a signal: the process was ended by a file"
    assert "CheckpointError" in done.stderr


def assert_refused(path: Path | str, message: str) -> None:
    """One clear line that names the file."""
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(path)
    text = str(caught.value)
    assert "\n" not in text
    assert Path(path).stem in text
    assert len(text) < 500 + len(str(path))


def change(key: str, edit: Callable[[Tensor], Tensor]) -> Callable[[State], object]:
    return lambda state: state | {key: edit(state[key])}


def drop(*keys: str) -> Callable[[State], object]:
    return lambda state: {key: tensor for key, tensor in state.items() if key not in keys}


def with_value(value: float) -> Callable[[Tensor], Tensor]:
    def edit(tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        tensor.view(-1)[3] = value
        return tensor

    return edit


CONV, HEAD, SLOPE = "encoder.pyramid1.0.0.weight", "decoder1.convblock.2.weight", "decoder3.convblock.1.prelu.weight"

BAD_CONTENT: dict[str, tuple[Callable[[State], Any], str]] = {
    "list": (lambda state: list(state.values()), "holds a list; expected a state dict"),
    "tensor": (lambda state: state[CONV], "holds a Tensor; expected a state dict"),
    "number": (lambda _: 3, "holds a int"),
    "empty dict": (lambda _: {}, r"lacks encoder\.pyramid1.* and 101 more"),
    "entry is no tensor": (lambda state: state | {"epoch": 3}, "holds a int under 'epoch'"),
    "key is no name": (lambda state: state | {3: state[CONV]}, "under 3"),
    "missing key": (drop(CONV), r"lacks encoder\.pyramid1\.0\.0\.weight; expected the 104 tensors"),
    "extra key": (lambda state: state | {"gan.weight": state[CONV]}, r"has the unknown gan\.weight"),
    "both": (lambda state: drop(CONV)(state) | {"w": state[CONV]}, "lacks encoder.* and has the unknown w"),  # type: ignore[operator]
    "long names": (lambda state: state | {"x" * 100_000: state[CONV]}, "has the unknown xxx"),
    "module on some keys": (lambda state: drop(CONV)(state) | {f"module.{CONV}": state[CONV]}, "lacks"),  # type: ignore[operator]
    "shape": (change(CONV, lambda w: w[:, :2].contiguous()), r"fits no variant: nearest is ifrnet_s, but 1 of 104"),
    "transposed": (
        change(HEAD, lambda w: w.transpose(0, 1).contiguous()),
        r"decoder1\.convblock\.2\.weight is \(8, 72",
    ),
    "scalar slope": (change(SLOPE, lambda w: w[:1].clone()), "fits no variant"),
    "mixed variants": (
        lambda state: state | {k: v for k, v in random_model("ifrnet").state_dict().items() if "encoder" in k},
        "fits no variant: nearest is ifrnet_s, but 24 of 104",
    ),
    "NaN": (change(HEAD, with_value(float("nan"))), r"1 of \d+ values of decoder1.* are NaN or infinite"),
    "infinite": (change(SLOPE, with_value(float("inf"))), "NaN or infinite"),
    "float64 beyond float32": (change(CONV, lambda w: with_value(1e300)(w.double())), "NaN or infinite in float32"),
    "integers": (change(CONV, lambda w: w.to(torch.int32)), "is torch.int32 .*; expected floating-point"),
    "float8": (change(CONV, lambda w: w.to(torch.float8_e4m3fn)), "expected floating-point"),
}

PICKLED_ONLY = {"list", "tensor", "number", "entry is no tensor", "key is no name"}
"""A safetensors file holds names and tensors by construction."""


@pytest.mark.parametrize(
    ("case", "suffix"),
    [
        (case, suffix)
        for case in BAD_CONTENT
        for suffix in (".pth", ".safetensors")
        if suffix == ".pth" or case not in PICKLED_ONLY
    ],
)
def test_files_that_hold_something_else_are_refused(suffix: str, case: str, weights: State, tmp_path: Path) -> None:
    make, message = BAD_CONTENT[case]
    content = make(weights)
    if suffix == ".safetensors":
        content = {key: tensor.clone() for key, tensor in content.items()}
    assert_refused(saved(content, tmp_path / f"net{suffix}"), message)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda w: w.to_sparse(), "torch.sparse_coo"),
        (lambda w: w.to("meta"), "expected floating-point numbers"),
        (lambda w: torch.complex(w, w), "is torch.complex64"),
        (lambda w: w[:1, :1, :1, :1].expand(2**20, 2**20, 3, 3), "fits no variant"),
        (lambda w: torch.nested.nested_tensor([w[0], w[0, :1]]), "holds a Tensor under"),
    ],
    ids=["sparse", "meta", "complex", "terabytes of one value", "nested"],
)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_tensors_that_are_not_plain_are_refused(
    make: Callable[[Tensor], Tensor], message: str, weights: State, tmp_path: Path
) -> None:
    assert_refused(saved(weights | {CONV: make(weights[CONV])}, tmp_path / "net.pth"), message)


class Bomb:
    """Unpickling this writes a file: the proof that code ran."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("place", ["whole", "entry"])
def test_pickle_that_would_run_code_is_refused_and_runs_nothing(
    place: str, legacy: bool, weights: State, tmp_path: Path
) -> None:
    trace = tmp_path / "ran"
    content = Bomb(trace) if place == "whole" else weights | {"x": Bomb(trace)}
    torch.save(content, tmp_path / "net.pth", _use_new_zipfile_serialization=not legacy)
    assert_refused(tmp_path / "net.pth", r"its pickle would run '\w+\.mkdir'")
    assert not trace.exists()
    torch.load(tmp_path / "net.pth", weights_only=False)
    assert trace.exists()  # it was live


def test_plain_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    assert_refused(tmp_path / "net.pth", "is no PyTorch checkpoint but a plain pickle, which cannot be read without")
    assert not (tmp_path / "ran").exists()


def test_torchscript_archive_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("net/constants.pkl", b"\x80\x02N.")
        archive.writestr("net/data.pkl", b"\x80\x02N.")
        archive.writestr("net/version", b"3\n")
    (tmp_path / "net.pth").write_bytes(buffer.getvalue())
    assert_refused(tmp_path / "net.pth", r"is no PyTorch checkpoint but a TorchScript program")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("keep", [1, 7, 8, 100, 5_000, 1_000_000, -1])
def test_truncated_files_are_refused(keep: int, suffix: str, weights: State, tmp_path: Path) -> None:
    path = saved(weights, tmp_path / f"net{suffix}")
    path.write_bytes(path.read_bytes()[:keep])
    assert_refused(path, "damaged")


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors", ".param", ".bin"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"not a checkpoint", r"but a text that begins with 'not a checkpoint'|is no ncnn graph"),
        (bytes(range(256)) * 40, "damaged|is no ncnn graph"),
        (b"\xff" * 8 + b"{}", "damaged|is no ncnn graph"),
        (b"PK\x03\x04zip", r"damaged archive: its end is missing|is no ncnn graph|but a file of torch\.save"),
    ],
)
def test_other_bytes_are_refused(data: bytes, message: str, suffix: str, tmp_path: Path) -> None:
    for ending in (".param", ".bin") if suffix in (".param", ".bin") else (suffix,):
        (tmp_path / f"net{ending}").write_bytes(data)
    assert_refused(tmp_path / f"net{suffix}", message)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_empty_file_is_refused(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"net{suffix}").touch()
    assert_refused(tmp_path / f"net{suffix}", "is empty")


def test_absurdly_large_file_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "net.pth").open("wb") as file:
        file.truncate(checkpoint_files.MAX_CHECKPOINT_BYTES + 1)  # sparse
    assert_refused(tmp_path / "net.pth", f"expected at most {checkpoint_files.MAX_CHECKPOINT_BYTES}")


def test_archive_that_unpacks_to_more_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_files, "MAX_CHECKPOINT_BYTES", 2**20)
    with zipfile.ZipFile(tmp_path / "net.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data/0", bytes(2**21))
    assert (tmp_path / "net.pth").stat().st_size < 2**14
    assert_refused(tmp_path / "net.pth", "unpacks to more than 1048576 bytes")
    # Python takes the end for cut short and sees no archive; PyTorch's reader looks further and would unpack it.
    with (tmp_path / "net.pth").open("ab") as file:
        file.write(b"PK\x05\x06")
    assert_refused(tmp_path / "net.pth", "is a damaged archive")


def test_an_archive_that_understates_its_size_is_not_unpacked(tmp_path: Path) -> None:
    path, size = tmp_path / "net.pth", 2**26
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data/0", bytes(size))
    path.write_bytes(path.read_bytes().replace(size.to_bytes(4, "little"), (100).to_bytes(4, "little")))
    tracemalloc.start()
    try:
        assert_refused(path, "is a damaged archive")
        assert tracemalloc.get_traced_memory()[1] < size // 4
    finally:
        tracemalloc.stop()


def test_a_compressed_checkpoint_is_read(weights: State, tmp_path: Path) -> None:
    plain = saved(weights, tmp_path / "net.pth")
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert (tmp_path / "b.pth").stat().st_size < plain.stat().st_size
    same = load_model(plain).state_dict()
    assert all(torch.equal(value, same[key]) for key, value in load_model(tmp_path / "b.pth").state_dict().items())


def test_paths_that_are_no_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.pth").mkdir()
    assert_refused(tmp_path / "folder.pth", "is a directory")
    assert_refused(tmp_path, "is a directory")
    os.mkfifo(tmp_path / "pipe.pth")
    assert_refused(tmp_path / "pipe.pth", "is no regular file")
    (tmp_path / "link.pth").symlink_to("nowhere.pth")
    assert_refused(tmp_path / "link.pth", "no such file")
    assert_refused(tmp_path / "none.safetensors", "no such file")
    (tmp_path / "net.onnx").write_bytes(b"x")
    assert_refused(
        tmp_path / "net.onnx", r"is of no known kind; expected .*\.pth, \.pt, .*\.ckpt, \.pkl, \.safetensors, "
    )
    assert_refused(f"{tmp_path}/a\0b.pth", "cannot be read")


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 300 + ".pth")
    assert_refused(path, "cannot be read")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ifrnet_xl", r"no model 'ifrnet_xl'; built-in: ifrnet_s; or give the path .*\.pth"),
        ("ifrnet_l", r"no model 'ifrnet_l' \(its weights are not shipped"),
        ("IFRNET_S", "no model 'IFRNET_S'"),
    ],
)
def test_unknown_names_list_what_there_is(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ifrnet_l").mkdir()  # a folder that happens to have the name changes nothing
    assert_refused(name, message)


def test_empty_name_is_refused() -> None:
    with pytest.raises(CheckpointError, match="built-in"):
        load_model("")


def test_random_model_of_no_variant_lists_the_variants() -> None:
    with pytest.raises(ModelError, match="no variant 'ifrnet_xl'; expected one of ifrnet_s, ifrnet, ifrnet_l"):
        random_model("ifrnet_xl")


def test_loading_leaves_the_random_numbers_alone() -> None:
    state = torch.random.get_rng_state()
    load_model("ifrnet_s")
    assert torch.equal(torch.random.get_rng_state(), state)


def test_all_names_exactly_what_the_package_exports() -> None:
    assert sorted(ifrnet.__all__) == sorted(set(ifrnet.__all__))
    for name in ifrnet.__all__:
        assert getattr(ifrnet, name) is not None
