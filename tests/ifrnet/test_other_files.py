"""Files that are no checkpoints are called what they are, and hostile ones run nothing."""

from __future__ import annotations

import collections
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from ifrnet import load_model, random_model
from ifrnet.pickle_protocol import MAX_PICKLE_BYTES, protocol_of, to_protocol_2

pytestmark = pytest.mark.filterwarnings("ignore::ifrnet.UncheckedWeightsWarning")

State = dict[str, Tensor]

Refusal = Callable[..., None]
PROTOCOLS = (2, 3, 4, 5)


def zipped(**entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


OTHER_FILES: dict[str, tuple[bytes, str]] = {
    "page": (b"\n<!DOCTYPE html>\n<html><head>", "but an HTML page, .*: download the file itself again"),
    "page in capitals": (b"\xef\xbb\xbf<HTML><BODY>Sign in", "but an HTML page"),
    "server": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', "but an XML text"),
    "json": (b'{"message": "Not Found"}', "but a JSON text"),
    "message": (b"Entry not found", "but a text that begins with 'Entry not found'"),
    "lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 11\n",
        "but a Git LFS pointer: run git lfs pull",
    ),
    "annex": (b"/annex/objects/SHA256E-s1--00.pth\n", "but a git-annex pointer"),
    "gzip": (b"\x1f\x8b\x08" + bytes(50), "but a gzip file: unpack it"),
    "tar": (bytes(257) + b"ustar\x0000", "but a tar archive: unpack it"),
    "keras": (b"\x89HDF\r\n\x1a\n" + bytes(50), "but an HDF5 file"),
    "zeros": (bytes(4096), "but a file of zero bytes only"),
    "zip": (zipped(**{"IFRNet.pth": b"x"}), r"but a zip archive of 'IFRNet\.pth': unpack it"),
    "empty zip": (b"PK\x05\x06" + bytes(18), "no PyTorch checkpoint or is damaged"),
    "pickle": (pickle.dumps({"a": 1}), "but a plain pickle, which cannot be read without running what it says"),
}


@pytest.mark.parametrize("suffix", [".pth", ".ckpt"])
@pytest.mark.parametrize("kind", OTHER_FILES)
def test_a_file_that_is_none_is_called_what_it_is(
    kind: str, suffix: str, tmp_path: Path, assert_refused: Refusal
) -> None:
    data, message = OTHER_FILES[kind]
    (tmp_path / f"net{suffix}").write_bytes(data)
    assert_refused(tmp_path / f"net{suffix}", message)


@pytest.mark.parametrize("kind", ["page", "server", "message", "lfs", "gzip", "zeros"])
def test_a_safetensors_file_that_is_none_is_called_what_it_is(
    kind: str, tmp_path: Path, assert_refused: Refusal
) -> None:
    data, message = OTHER_FILES[kind]
    (tmp_path / "net.safetensors").write_bytes(data)
    assert_refused(tmp_path / "net.safetensors", message)


def test_wrong_endings_are_told(weights: State, tmp_path: Path, assert_refused: Refusal) -> None:
    (tmp_path / "a.pth").write_bytes(safetensors.torch.save(weights))
    assert_refused(tmp_path / "a.pth", r"but a safetensors file: let its name end in \.safetensors")
    torch.save(weights, tmp_path / "a.safetensors")
    assert_refused(tmp_path / "a.safetensors", r"but a file of torch\.save: let its name end in \.pth")


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_real_torchscript_program_is_named(tmp_path: Path, assert_refused: Refusal) -> None:
    traced = torch.jit.trace(nn.Conv2d(1, 1, 1), torch.ones(1, 1, 2, 2))  # type: ignore[no-untyped-call]
    torch.jit.save(traced, tmp_path / "net.pt")
    assert_refused(tmp_path / "net.pt", r"but a TorchScript program \(torch\.jit\.save\), which holds code")


def test_a_whole_module_is_refused(tmp_path: Path, assert_refused: Refusal) -> None:
    torch.save(random_model("ifrnet_s"), tmp_path / "net.pth")
    assert_refused(tmp_path / "net.pth", r"its pickle would run 'ifrnet\.model\.IFRNet', .*save model\.state_dict\(\)")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_files_cut_short_say_so(
    share: float, protocol: int, weights: State, tmp_path: Path, assert_refused: Refusal
) -> None:
    buffer = io.BytesIO()
    torch.save(weights, buffer, pickle_protocol=protocol)
    data = buffer.getvalue()
    (tmp_path / "net.pth").write_bytes(data[: int(share * len(data))])
    assert_refused(tmp_path / "net.pth", "is a damaged archive: its end is missing, as of a download that was broken")


class Bomb:
    """Unpickling this makes a folder: the proof that code ran."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_protocol_runs_anything(
    protocol: int, legacy: bool, weights: State, tmp_path: Path, assert_refused: Refusal
) -> None:
    trace, path = tmp_path / "ran", tmp_path / "net.pth"
    content = {"net": weights, "psnr": np.float64(1.0), "x": Bomb(trace)}
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    assert_refused(path, r"its pickle would run '\w+\.mkdir'")
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists()  # it was live


HOSTILE: dict[str, bytes] = {
    "name from the memo": b"\x80\x04\x8c\x05posix\x940\x8c\x05mkdir\x940h\x00h\x01\x93\x8c\x03ran\x85R.",
    "getattr": b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93c__main__\nx\n\x8c\x01a\x86R.",
    "dotted name": b"\x80\x04\x8c\x05torch\x8c\x0cload.__call__\x93)R.",
    "newline in a name": b"\x80\x04\x8c\x05torch\x8c\x0bTensor\nabcd\x93.",
    "name that is no string": b"\x80\x04K\x01K\x02\x93.",
    "empty stack": b"\x80\x04\x93.",
    "extension": b"\x80\x04\x82\x01.",
    "arguments by name": b"\x80\x04ccollections\nOrderedDict\n)}\x92.",
    "memo out of range": b"\x80\x04h\x63.",
    "stop missing": b"\x80\x04}",
    "length that lies": b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fab.",
    "unknown instruction": b"\x80\x04\xff.",
    "protocol 9": b"\x80\x09}.",
    "attributes of a stand-in": b"\x80\x04cnumpy\ndtype\n}\x8c\x0a__reduce__K\x01sb.",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_pickles_are_refused_and_run_nothing(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, assert_refused: Refusal
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.pth").write_bytes(zipped(**{"net/data.pkl": HOSTILE[case], "net/version": b"3\n"}))
    assert_refused(tmp_path / "net.pth", "its pickle would run|damaged|holds a |is no IFRNet")
    assert os.listdir(tmp_path) == ["net.pth"]


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_would_fill_the_memory_does_not(protocol: int, tmp_path: Path, assert_refused: Refusal) -> None:
    name = b"cbuiltins\nbytearray\n" if protocol == 2 else b"\x8c\x08builtins\x8c\x09bytearray\x93"
    data = b"\x80" + bytes([protocol]) + name + b"J\xff\xff\xff\x0f\x85R."
    (tmp_path / "net.pth").write_bytes(zipped(**{"net/data.pkl": data, "net/version": b"3\n"}))
    assert_refused(tmp_path / "net.pth", r"holds a _Ignored; expected a state dict")


def test_reading_leaves_the_allowed_names_of_pytorch_as_they_were(weights: State, tmp_path: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    torch.save({"net": weights, "psnr": np.float64(1.0)}, tmp_path / "net.pth")
    load_model(tmp_path / "net.pth")
    assert set(torch.serialization.get_safe_globals()) == before
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "net.pth", weights_only=True)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_rewritten_pickle_says_the_same(protocol: int) -> None:
    shared = ["a", ("ü\ud800", 2**70, -1.5, None, True)]
    content = {
        "x" * 300: shared,
        "again": [shared, shared[0], "a"],
        "bytes": [b"", b"\xff" * 300],
        "order": collections.OrderedDict([(3, {"k": "k"}), ("k", "x" * 300)]),
    }
    data = pickle.dumps(content, protocol=protocol)
    rewritten = to_protocol_2(io.BytesIO(data))
    assert protocol_of(data) == protocol
    assert protocol_of(rewritten) == 2
    found = pickle.loads(rewritten)
    assert found == content
    assert found["again"][0] is found["x" * 300]


def test_a_pickle_that_grows_when_rewritten_is_refused() -> None:
    text = "x" * 2**16
    data = pickle.dumps([text] + [text] * 2**16, protocol=4)  # read from the memo 65536 times: 4 GB
    assert len(data) < 2**20
    with pytest.raises(ValueError, match="a pickle of more than"):
        to_protocol_2(io.BytesIO(data))


def test_a_large_pickle_is_refused_unread(tmp_path: Path, assert_refused: Refusal) -> None:
    (tmp_path / "net.pth").write_bytes(zipped(**{"net/data.pkl": b"]" * (MAX_PICKLE_BYTES + 1)}))
    assert_refused(tmp_path / "net.pth", f"has a pickle of {MAX_PICKLE_BYTES + 1} bytes; expected at most")
