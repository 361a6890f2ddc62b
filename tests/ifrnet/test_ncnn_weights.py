"""The ncnn reader, against pairs written here with the topology of the released graphs, and against ncnn itself."""

from __future__ import annotations

import hashlib
import json
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ifrnet import CheckpointError, IFRNet, Timesteps, interpolate, load_model, random_model
from ifrnet.ncnn_files import HALF_TAG, parse_param
from ifrnet.ncnn_weights import read_ncnn
from ifrnet.variants import Variant

ONE = torch.full((1, 1, 1, 1), 0.5)


@dataclass
class Writer:
    """Writes an IFRNet as the converter does: blobs by number, a Split behind every blob that is read twice."""

    state: dict[str, Tensor]
    half: bool = False
    layers: list[tuple[str, str, list[str], list[str], str, bytes]] = field(default_factory=list)
    blobs: int = 0

    def add(self, kind: str, inputs: list[str], params: str = "", data: bytes = b"", outputs: int = 1) -> list[str]:
        names = [f"b{self.blobs + i}" for i in range(outputs)]
        self.blobs += outputs
        self.layers.append((kind, f"{kind.lower()}_{len(self.layers)}", inputs, names, params, data))
        return names

    def tagged(self, weight: Tensor) -> bytes:
        if not self.half:
            return struct.pack("<I", 0) + weight.numpy().astype("<f4").tobytes()
        data = weight.numpy().astype("<f2").tobytes()
        return struct.pack("<I", HALF_TAG) + data + b"\xee" * (-len(data) % 4)

    def conv(self, key: str, blob: str, stride: int = 1) -> str:
        weight, bias = self.state[f"{key}.weight"], self.state[f"{key}.bias"]
        outputs, _, kernel, _ = weight.shape
        pad = kernel // 2
        params = f"0={outputs} 1={kernel} 11={kernel} 12=1 13={stride} 14={pad} 2=1 3={stride} 4={pad} 5=1"
        data = self.tagged(weight) + bias.numpy().tobytes()
        return self.add("Convolution", [blob], f"{params} 6={weight.numel()}", data)[0]

    def deconv(self, key: str, blob: str) -> str:
        weight, bias = self.state[f"{key}.weight"], self.state[f"{key}.bias"]
        params = f"0={weight.shape[1]} 1=4 11=4 12=1 13=2 14=1 18=0 19=0 2=1 3=2 4=1 5=1 6={weight.numel()}"
        data = self.tagged(weight.transpose(0, 1).contiguous()) + bias.numpy().tobytes()
        return self.add("Deconvolution", [blob], params, data)[0]

    def prelu(self, key: str, blob: str) -> str:
        slope = self.state[f"{key}.weight"]
        return self.add("PReLU", [blob], f"0={slope.numel()}", slope.numpy().tobytes())[0]

    def convrelu(self, key: str, blob: str, stride: int = 1) -> str:
        return self.prelu(f"{key}.1", self.conv(f"{key}.0", blob, stride))

    def decoder(self, key: str, blobs: list[str]) -> str:
        width, side = self.state[f"{key}.0.0.bias"].numel(), self.state[f"{key}.1.conv2.0.bias"].numel()
        x = out = self.convrelu(f"{key}.0", self.add("Concat", blobs, "0=0")[0])
        for first, second in (("conv1", "conv2"), ("conv3", "conv4")):
            out = self.convrelu(f"{key}.1.{first}", out)
            head, tail = self.add("Slice", [out], f"-23300=2,{width - side},-233 1=0", outputs=2)
            out = self.add("Concat", [head, self.convrelu(f"{key}.1.{second}", tail)], "0=0")[0]
        out = self.add("BinaryOp", [x, self.conv(f"{key}.1.conv5", out)], "0=0")[0]
        return self.deconv(f"{key}.2", self.prelu(f"{key}.1.prelu", out))

    def double(self, blob: str) -> str:
        return self.add("Interp", [blob], "0=2 1=2.000000e+00 2=2.000000e+00 6=0")[0]

    def sum(self, delta: str, double: str) -> str:
        return self.add("Eltwise", [delta, double], "0=1 -23301=2,1.000000e+00,2.000000e+00")[0]

    def warp(self, flow: str, img: str) -> str:
        return self.add("ifrnet.Warp", [flow, img])[0]

    def network(self) -> None:
        img0, img1, t = (self.add("Input", [])[0] for _ in range(3))
        features: list[list[str]] = [[], []]
        last = ""
        for frame, img in enumerate((img0, img1)):
            for level in range(1, 5):
                x = self.convrelu(f"encoder.pyramid{level}.0", features[frame][-1] if features[frame] else img, 2)
                if frame == 0 and level == 4:  # the released graphs have this layer's PReLU after the other encoder
                    last = self.conv("encoder.pyramid4.1.0", x)
                else:
                    features[frame].append(self.convrelu(f"encoder.pyramid{level}.1", x))
        features[0].append(self.prelu("encoder.pyramid4.1.1", last))
        out = self.decoder("decoder4.convblock", [features[0][3], features[1][3], t])
        flow0, flow1, feature = self.add("Slice", [out], "-23300=3,2,2,-233 1=0", outputs=3)
        for level in (3, 2, 1):
            warped = [self.warp(flow0, features[0][level - 1]), self.warp(flow1, features[1][level - 1])]
            out = self.decoder(f"decoder{level}.convblock", [feature, *warped, flow0, flow1])
            if level > 1:
                delta0, delta1, feature = self.add("Slice", [out], "-23300=3,2,2,-233 1=0", outputs=3)
                flow0 = self.sum(delta0, self.double(flow0))
                flow1 = self.sum(delta1, self.double(flow1))
        delta0, delta1, mask, residual = self.add("Slice", [out], "-23300=4,2,2,1,-233 1=0", outputs=4)
        double0, double1 = self.double(flow0), self.double(flow1)
        warped0 = self.warp(self.sum(delta0, double0), img0)
        warped1 = self.warp(self.sum(delta1, double1), img1)
        mask = self.add("Sigmoid", [mask])[0]
        inverse = self.add("BinaryOp", [mask], "0=7 1=1 2=1.000000e+00")[0]
        second = self.add("BinaryOp", [inverse, warped1], "0=2")[0]
        first = self.add("BinaryOp", [mask, warped0], "0=2")[0]
        self.add("BinaryOp", [self.add("BinaryOp", [first, second], "0=0")[0], residual], "0=0")

    def files(self) -> tuple[str, bytes]:
        """The text of the .param and the bytes of the .bin."""
        readers: dict[str, list[list[str]]] = {}
        for layer in self.layers:
            for blob in layer[2]:
                readers.setdefault(blob, []).append(layer[2])
        lines, blobs = [], self.blobs
        for kind, name, inputs, outputs, params, _ in self.layers:
            lines.append(" ".join([kind, name, str(len(inputs)), str(len(outputs)), *inputs, *outputs, params]))
            for blob in outputs:
                users = readers.get(blob, [])
                if len(users) > 1:
                    copies = [f"{blob}_{i}" for i in range(len(users))]
                    blobs += len(copies)
                    lines.append(" ".join(["Split", f"split_{blob}", "1", str(len(users)), blob, *copies]))
                    for user, copy in zip(users, copies, strict=True):
                        user[user.index(blob)] = copy
        text = f"7767517\n{len(lines)} {blobs}\n" + "\n".join(lines) + "\n"
        return text, b"".join(layer[5] for layer in self.layers)


@pytest.fixture(scope="module")
def model() -> IFRNet:
    return random_model("ifrnet_s", seed=3)


@pytest.fixture(scope="module")
def pair(model: IFRNet) -> tuple[str, bytes]:
    writer = Writer(model.state_dict())
    writer.network()
    return writer.files()


def load(text: str, weights: bytes) -> dict[str, Tensor]:
    return read_ncnn(text.encode(), weights, "x.param")


def test_float32_pair_gives_the_same_weights(model: IFRNet, pair: tuple[str, bytes]) -> None:
    state = load(*pair)
    assert state.keys() == model.state_dict().keys()
    for key, tensor in model.state_dict().items():
        assert torch.equal(state[key], tensor), key


@pytest.mark.parametrize("name", ["ifrnet_s", "ifrnet", "ifrnet_l"])
def test_float16_pair_gives_the_weights_rounded_to_float16(name: str) -> None:
    model = random_model(name, seed=4)
    writer = Writer(model.state_dict(), half=True)
    writer.network()
    state = load(*writer.files())
    assert state.keys() == model.state_dict().keys()
    for key, tensor in model.state_dict().items():
        stored_half = tensor.ndim == 4  # biases and slopes stay float32
        assert torch.equal(state[key], tensor.half().float() if stored_half else tensor), key


@pytest.mark.parametrize("suffix", [".param", ".bin"])
def test_either_file_of_the_pair_loads_the_model(
    suffix: str, model: IFRNet, pair: tuple[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "net.param").write_text(pair[0])
    (tmp_path / "net.bin").write_bytes(pair[1])
    sha256 = hashlib.sha256(pair[0].encode() + pair[1]).hexdigest()
    (tmp_path / "net.json").write_text(json.dumps({"sha256": sha256}))
    loaded = load_model(tmp_path / f"net{suffix}")
    assert loaded.info is not None
    assert (loaded.info.format, loaded.info.source, loaded.info.name) == ("ncnn", "net.param", "net")
    assert loaded.info.timesteps is Timesteps.ANY
    frames = torch.rand(2, 1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    img0, img1 = frames
    assert torch.equal(interpolate(loaded, img0, img1, ONE), interpolate(model, img0, img1, ONE))


def test_a_pair_whose_file_is_a_web_page_says_so(pair: tuple[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "net.param").write_text(pair[0])
    (tmp_path / "net.bin").write_text("<!DOCTYPE html><html></html>")
    with pytest.raises(CheckpointError, match=r"net\.bin is no file of an ncnn pair but an HTML page"):
        load_model(tmp_path / "net.param")


def test_half_a_pair_names_the_missing_file(pair: tuple[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "net.param").write_text(pair[0])
    with pytest.raises(CheckpointError, match=r"net\.bin: no such file"):
        load_model(tmp_path / "net.param")
    (tmp_path / "net.param").rename(tmp_path / "other.param")
    (tmp_path / "net.bin").write_bytes(pair[1])
    with pytest.raises(CheckpointError, match=r"net\.param: no such file"):
        load_model(tmp_path / "net.bin")


def test_graph_is_followed_whatever_the_order_and_names(model: IFRNet, pair: tuple[str, bytes]) -> None:
    """Operands of sums and products either way round, and the frames declared in the other order."""
    lines = pair[0].splitlines()
    inputs = [i for i, line in enumerate(lines) if line.startswith("Input")]
    lines[inputs[0]], lines[inputs[2]] = lines[inputs[2]], lines[inputs[0]]
    # Inputs first, so that Splits still follow what they copy.
    splits = [line for line in lines if line.startswith(("Split split_b0 ", "Split split_b1 "))]
    lines = [line for line in lines if line not in splits]
    lines[5:5] = splits
    for i, line in enumerate(lines):
        fields = line.split()
        if fields[0] == "BinaryOp" and fields[2] == "2":
            fields[4], fields[5] = fields[5], fields[4]
            lines[i] = " ".join(fields)
    state = load("\n".join(lines), pair[1])
    for key, tensor in model.state_dict().items():
        assert torch.equal(state[key], tensor), key


def test_writer_has_the_released_topology(pair: tuple[str, bytes]) -> None:
    """Layers, blobs and kinds of the released ifrnet_s graph."""
    assert pair[0].splitlines()[1] == "160 202"
    kinds = Counter(layer.kind for layer in parse_param(pair[0].encode(), "x.param"))
    assert kinds == {
        "Input": 3, "Split": 19, "Convolution": 40, "PReLU": 40, "Concat": 12, "Slice": 12, "BinaryOp": 9,
        "Deconvolution": 4, "Interp": 6, "Eltwise": 6, "Warp": 8, "Sigmoid": 1,
    }  # fmt: skip


def edit(old: str, new: str) -> Callable[[str, bytes], tuple[str, bytes]]:
    def change(text: str, weights: bytes) -> tuple[str, bytes]:
        assert old in text
        return text.replace(old, new, 1), weights

    return change


def edit_weights(offset: int, data: bytes) -> Callable[[str, bytes], tuple[str, bytes]]:
    return lambda text, weights: (text, weights[:offset] + data + weights[offset + len(data) :])


def swap_warps(text: str, weights: bytes) -> tuple[str, bytes]:
    """The first two warps take each other's flow."""
    lines = text.splitlines()
    first, second = [i for i, line in enumerate(lines) if line.startswith("ifrnet.Warp")][:2]
    a, b = lines[first].split(), lines[second].split()
    a[4], b[4] = b[4], a[4]
    lines[first], lines[second] = " ".join(a), " ".join(b)
    return "\n".join(lines), weights


def append_layer(line: str) -> Callable[[str, bytes], tuple[str, bytes]]:
    def change(text: str, weights: bytes) -> tuple[str, bytes]:
        head, counts, rest = text.split("\n", 2)
        layers, blobs = counts.split()
        return f"{head}\n{int(layers) + 1} {blobs}\n{rest}{line}\n", weights

    return change


def repeat_sigmoid(text: str, weights: bytes) -> tuple[str, bytes]:
    (blob,) = [line.split()[4] for line in text.splitlines() if line.startswith("Sigmoid")]
    return append_layer(f"Sigmoid again 1 1 {blob} late")(text, weights)


FIRST_ENCODER_WEIGHTS = 4 * (1 + 24 * 27)  # tag and weights of the first convolution; its bias follows

BROKEN: dict[str, tuple[Callable[[str, bytes], tuple[str, bytes]], str]] = {
    "empty": (lambda _text, weights: ("", weights), "no ncnn graph"),
    "another magic": (edit("7767517", "7767516"), "first line is not 7767517"),
    "binary": (lambda _text, weights: ("\x00\xff7767517", weights), "no ncnn graph"),
    "cut param": (lambda text, weights: (text[: len(text) // 2], weights), "no ncnn graph"),
    "too many layers": (edit("160 ", "9999999999999999999999 "), "layers announced"),
    "unknown layer": (edit("Sigmoid", "Softmax"), "is a Softmax, which IFRNet does not have"),
    "cut weights": (lambda text, weights: (text, weights[:-1]), r"ends inside layer"),
    "empty weights": (lambda text, _weights: (text, b""), r"ends inside layer"),
    "spare weights": (lambda text, weights: (text, weights + b"\0"), "but the layers need"),
    "int8": (edit_weights(0, struct.pack("<I", 0x000D4B38)), "stored as int8"),
    "table": (edit_weights(0, struct.pack("<I", 1)), "quantised"),
    "encoders differ": (edit_weights(FIRST_ENCODER_WEIGHTS, b"\0\0\0\0"), "differs between the encoders"),
    "negative size": (edit("6=648", "6=-648"), "positive number of elements"),
    "huge size": (edit("6=648", "6=99999999999999"), "positive number of elements"),
    "float size": (edit("6=648", "6=648.0"), "positive number of elements"),
    "kernel": (edit("0=24 1=3", "0=24 1=5"), r"has parameter|has 648 weights"),
    "no kernel": (edit("0=24 1=3", "0=24 1=0"), "no kernel size"),
    "stride": (edit("13=2", "13=1"), "parameter"),
    "padding": (edit("14=1", "14=0"), "parameter 14=0, not 1"),
    "right padding": (edit("5=1 ", "5=1 15=2 "), "parameter 15=2, not 1"),
    "no bias": (edit(" 5=1", ""), "parameter 5=0, not 1"),
    "activation": (edit("5=1 ", "5=1 9=1 "), "parameter 9=1, not 0"),
    "int8 scale": (edit("5=1 ", "5=1 8=2 "), "parameter 8=2, not 0"),
    "slice": (edit("-23300=2,120,-233", "-23300=2,24,-233"), "parameter"),
    "short array": (edit("-23300=2,120,-233", "-23300=3,120,-233"), "array of a wrong length"),
    "interpolation": (edit("0=2 1=2.000000e+00", "0=1 1=2.000000e+00"), "parameter 0=1, not 2"),
    "corners": (edit("6=0", "6=1"), "parameter 6=1, not 0"),
    "flow factor": (edit("-23301=2,1.000000e+00,2.000000e+00", "-23301=2,1.000000e+00,1.000000e+00"), "parameter 1="),
    "inverse": (edit("0=7 1=1", "0=1 1=1"), "parameter 0=1, not 7"),
    "swapped warps": (swap_warps, "no Warp"),
    "left over": (append_layer("Sigmoid extra 1 1 b0_0 late"), "extra is left over"),
    "odd number of weights": (
        lambda text, weights: (text.replace("6=648", "6=647", 1), weights[:4] + weights[8:]),
        "647 weights for 24 outputs of 3x3",
    ),
    "one name twice": (edit("prelu_6 ", "prelu_4 "), "two layers are called"),
    "twin layers": (repeat_sigmoid, "two Sigmoid read the same blobs"),
    "endless name": (edit("Sigmoid sig", "Sigmoid " + "x" * 10_000 + "sig"), "has no end"),
    "undefined blob": (append_layer("Sigmoid extra 1 1 nowhere late"), "reads a blob before"),
    "blob written twice": (append_layer("Sigmoid extra 1 1 b0_0 b1"), "or writes one for the second time"),
    "second reader": (append_layer("Convolution extra 1 1 b0_1 late 0=24 1=3 6=648"), r"ends inside|read the same"),
    "fourth input": (append_layer("Input extra 0 1 late"), "2 time inputs"),
    "negative count": (append_layer("Sigmoid extra -1 1 b0 late"), "cut short"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_pairs_are_refused_in_one_line(case: str, pair: tuple[str, bytes]) -> None:
    change, message = BROKEN[case]
    with pytest.raises(CheckpointError, match=message) as caught:
        load(*change(*pair))
    assert str(caught.value).startswith("x.param")
    assert "\n" not in str(caught.value)


def test_network_of_other_widths_is_refused() -> None:
    narrow = Variant(name="narrow", widths=(20, 36, 54, 72), first_kernel=3, side=20)
    writer = Writer(IFRNet(narrow).state_dict())
    writer.network()
    with pytest.raises(CheckpointError, match=r"first convolutions have \[20, 20\] outputs, not one of \[24, 32, 64\]"):
        load(*writer.files())


def test_tag_for_scaled_raw_weights_is_float32(model: IFRNet, pair: tuple[str, bytes]) -> None:
    state = load(*edit_weights(0, struct.pack("<I", 0x0002C056))(*pair))
    assert torch.equal(state["encoder.pyramid1.0.0.weight"], model.state_dict()["encoder.pyramid1.0.0.weight"])


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
@pytest.mark.parametrize("kind", ["conv", "deconv"])
def test_layout_is_that_of_ncnn(kind: str, half: bool, tmp_path: Path) -> None:
    """ncnn computes with what the writer wrote: so the writer, and the reader that inverts it, have its layout."""
    ncnn = pytest.importorskip("ncnn", reason="the layout is compared with the ncnn package itself")
    generator = torch.Generator().manual_seed(5)
    shape = (5, 3, 3, 3) if kind == "conv" else (3, 5, 4, 4)  # 135 and 240 weights: fp16 with and without padding
    weight = torch.randn(shape, generator=generator).half().float()
    bias = torch.randn(5, generator=generator)
    slope = torch.rand(5, generator=generator)
    writer = Writer({"x.weight": weight, "x.bias": bias, "slope.weight": slope}, half=half)
    blob = writer.add("Input", [])[0]
    out = writer.conv("x", blob, stride=2) if kind == "conv" else writer.deconv("x", blob)
    out = writer.prelu("slope", out)
    text, weights = writer.files()
    (tmp_path / "x.param").write_text(text)
    (tmp_path / "x.bin").write_bytes(weights)
    x = torch.randn(1, 3, 10, 14, generator=generator)
    with ncnn.Net() as net:
        net.opt.num_threads = 1
        net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_bf16_storage = False
        assert net.load_param(str(tmp_path / "x.param")) == 0
        assert net.load_model(str(tmp_path / "x.bin")) == 0
        with net.create_extractor() as extractor:
            extractor.input(blob, ncnn.Mat(np.ascontiguousarray(x[0].numpy())))
            status, result = extractor.extract(out)
            assert status == 0
            found = torch.from_numpy(np.array(result))[None]
    torch_result = F.conv2d(x, weight, bias, 2, 1) if kind == "conv" else F.conv_transpose2d(x, weight, bias, 2, 1)
    torch.testing.assert_close(found, F.prelu(torch_result, slope), atol=1e-4, rtol=1e-4)
