"""What the native library takes for a network: small ones that fit together, and the same with one lie."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from runtimes.backends.ncnn import encoded_blobs
from runtimes.backends.ncnn_layers import checked_layers

Probe = Callable[..., bytes]

WIDTH, HEIGHT = 32, 16

FLOAT, HALF, BFLOAT, INT8 = (struct.pack("<I", tag) for tag in (0, 0x01306B47, 0x01348B83, 0x000D4B38))

HEAD = ("Input in0 0 1 in0 0=32 1=16 2=3", "Input in1 0 1 in1 0=32 1=16 2=3", "Input in2 0 1 in2")

SUM = (*HEAD, "BinaryOp add 2 1 in0 in1 a 0=0", "Split two 1 2 a s r", "BinaryOp mul 2 1 s in2 out0 0=2")

CONV = "Convolution conv 1 1 in0 a 0=4 1=3 4=1 5=1 6=108"

DECONV = "Deconvolution up 1 1 c d 0=3 1=4 4=1 3=2 5=0 6=192"

PRELU = "PReLU relu 1 1 a b 0=4"

REST = (
    "Pooling half 1 1 b c 0=1 1=2 2=2 5=1",
    DECONV,
    "BinaryOp add 2 1 d in1 e 0=0",
    "BinaryOp mul 2 1 e in2 out0 0=2",
)

NETWORK = (*HEAD, CONV, PRELU, *REST)

WEIGHTS = FLOAT + bytes(4 * 108) + bytes(4 * 4) + bytes(4 * 4) + FLOAT + bytes(4 * 192)


def param(layers: Sequence[str]) -> str:
    """The text of a ``.param``."""
    blobs = sum(int(line.split()[3]) for line in layers)
    return "\n".join(["7767517", f"{len(layers)} {blobs}", *layers]) + "\n"


@pytest.fixture
def files(tmp_path: Path) -> Callable[[str, bytes], tuple[object, ...]]:
    """Words of the probe for a ``.param`` text and weights."""

    def write(text: str, weights: bytes = b"") -> tuple[object, ...]:
        (tmp_path / "model.param").write_text(text, encoding="utf-8")
        (tmp_path / "model.bin").write_bytes(weights)
        return ("network", tmp_path / "model.param", tmp_path / "model.bin", WIDTH, HEIGHT)

    return write


Files = Callable[..., tuple[object, ...]]


def test_small_networks_are_taken(probe: Probe, files: Files) -> None:
    assert json.loads(probe(*files(param(SUM))))["layers"] == 6
    assert json.loads(probe(*files(param(NETWORK), WEIGHTS)))["layers"] == 9


@pytest.mark.parametrize(
    "layers",
    [
        ("Padding x 1 1 s y 0=0 1=13 3=1 4=1 5=0 6=0", "Crop z 1 1 y out0 -23309=2,0,0 -23310=2,16,32 -23311=2,1,2"),
        ("Slice x 1 3 s y z u -23300=3,1,1,-233", "Concat v 3 1 y z u out0 0=0"),
        ("Slice x 1 2 s y z -23300=2,10,-233 1=-1", "Concat v 2 1 y z out0 0=2"),
        ("Interp x 1 1 s y 0=2 1=0.5 2=0.5 6=0", "Interp z 1 1 y out0 0=1 3=16 4=32"),
        ("Pooling x 1 1 s y 0=1 4=1", 'Reshape z 1 1 y u 6="1,1,//(3,0n),0n" 12=0 13=0', "BinaryOp v 2 1 u r out0"),
        ("Pooling x 1 1 s y 0=0 1=3 2=2", "Interp z 1 1 y out0 0=2 3=16 4=32"),
        ("Reshape x 1 1 s y 0=0 1=-1", "Reshape z 1 1 y out0 0=32 1=16 2=3"),
        (
            "Tile x 1 1 in2 y -23302=3,12,16,32",
            "PixelShuffle z 1 1 y u 0=2",
            "Interp v 1 1 u w 1=0.5 2=0.5 0=1",
            "BinaryOp q 2 1 w s out0 0=2",
        ),
        ("Tile x 1 1 in2 y 0=0 1=2", "Tile z 1 1 y u -23302=3,1,16,32", "GridSample w 2 1 s u out0 1=2 2=1 3=1"),
        (
            "Eltwise x 2 1 s r y 0=1 -23301=2,1.0,2.0",
            "Power z 1 1 y u",
            "Sigmoid v 1 1 u w",
            "Clip q 1 1 w out0 1=1.0",
        ),
    ],
    ids=["crop", "slice channels", "slice columns", "interp", "mean", "ceil", "reshape", "shuffle", "warp", "rest"],
)
def test_every_kind_of_layer_is_taken(probe: Probe, files: Files, layers: tuple[str, ...]) -> None:
    assert json.loads(probe(*files(param((*SUM[:5], *layers)))))["layers"] == 5 + len(layers)


def test_an_exported_network_is_taken(probe: Probe, artifact: Callable[..., Path]) -> None:
    folder = artifact("ncnn")
    names = (folder / "model.param", folder / "model.bin")
    found = json.loads(probe("network", *names, 160, 96))
    layers = checked_layers(names[0].read_text())
    assert found == {"layers": len(layers), "encoded": encoded_blobs(layers)}


@pytest.mark.parametrize(
    ("conv", "kernels"),
    [
        (CONV, HALF + bytes(2 * 108)),
        (CONV, BFLOAT + bytes(2 * 108)),
        (CONV + " 8=2", INT8 + bytes(108) + bytes(4 * 4) + bytes(4)),
        (CONV + " 8=1", FLOAT + bytes(4 * 108) + bytes(4 * 4) + bytes(4)),
        (CONV + " 9=2 -23310=1,1.0e-01", FLOAT + bytes(4 * 108)),
    ],
    ids=["float16", "bfloat16", "int8", "float32 for int8", "activation"],
)
def test_kernels_of_every_type_are_taken(
    probe: Probe, refusal: Callable[..., str], files: Files, conv: str, kernels: bytes
) -> None:
    weights = kernels + bytes(4 * 4) + bytes(4 * 4) + FLOAT + bytes(4 * 192)
    text = param((*HEAD, conv, PRELU, *REST))
    assert probe(*files(text, weights))
    for length in (0, 1, 3, 4, len(weights) // 2, len(weights) - 4, len(weights) - 1):
        assert "more weights" in refusal(*files(text, weights[:length]))
    assert "of no layer" in refusal(*files(text, weights + bytes(4)))


def test_int8_between_two_convolutions(probe: Probe, refusal: Callable[..., str], files: Files) -> None:
    first = "Convolution first 1 1 in0 a 0=4 1=1 6=12 8=102"
    second = "Convolution second 1 1 b c 0=3 1=1 6=12 8=2"
    tail = ("BinaryOp add 2 1 c in1 d 0=0", "BinaryOp mul 2 1 d in2 out0 0=2")
    weights = INT8 + bytes(12) + bytes(4 * 6) + INT8 + bytes(12) + bytes(4 * 4)
    assert probe(*files(param((*HEAD, first, "Split s 1 1 a b", second, *tail)), weights))
    for between in ("Sigmoid s 1 1 a b", "PReLU s 1 1 a b 0=1", "Slice s 1 1 a b -23300=1,4", "Concat s 1 1 a b"):
        assert "int8" in refusal(*files(param((*HEAD, first, between, second, *tail)), weights))


LIES = [
    (CONV, CONV.replace("6=108", "6=216"), "216 weights for 3 channels"),
    (CONV, CONV.replace("0=4", "0=2"), "108 weights for 3 channels to 2"),
    (CONV, CONV.replace("1=3", "1=0"), "no kernel"),
    (CONV, CONV.replace("1=3", "1=-3"), "no kernel"),
    (CONV, CONV.replace("1=3", "1=3.0"), "does not know"),
    (CONV, CONV.replace("4=1", "4=-233"), "expected 0 to 64"),
    (CONV, CONV + " 3=0", "expected 1 to 64"),
    (CONV, CONV + " 2=0", "expected 1 to 64"),
    (CONV, CONV + " 2=16", "larger than its frame"),
    (CONV, CONV + " 19=1", "does not know"),
    (CONV, CONV + " 8=3", "does not know"),
    (CONV, CONV + " 9=2", "activation"),
    (CONV, CONV + " 9=7", "expected 0 to 6"),
    (CONV, CONV + " 6=108", "a parameter twice"),
    (CONV, CONV + " -23306=1,5", "a parameter twice"),
    (CONV, CONV + " 99=1", "99=1"),
    (CONV, CONV + " 30=4,2,1,1,1", "another length"),
    (CONV, CONV + " -23310=3,1", "another length"),
    (CONV, CONV + " 16=1e99", "16=1e99"),
    (CONV, CONV + " 18=nan", "18=nan"),
    (CONV, CONV.replace("in0", "in2"), "for the second time"),
    (PRELU, PRELU.replace("0=4", "0=5"), "5 slopes for 4 channels"),
    (PRELU, PRELU.replace("0=4", "0=0"), "expected 1"),
    (REST[0], REST[0].replace("1=2", "1=40"), "larger than its frame"),
    (REST[0], REST[0].replace("2=2", "2=0"), "expected 1"),
    (REST[0], REST[0] + " 3=2", "larger than its frame"),
    (REST[0], REST[0] + " 4=1", "which is no frame"),
    (REST[0], REST[0] + " 7=1", "does not know"),
    (DECONV, DECONV.replace("6=192", "6=193"), "193 weights"),
    (DECONV, DECONV.replace("3=2", "3=1"), "reads 17x9x3 and 32x16x3"),
    (DECONV, DECONV + " 18=2", "adds more rows"),
    (DECONV, DECONV + " 20=4096", "does not know"),
    (DECONV, DECONV.replace("4=1", "4=40"), "cuts off all"),
    (HEAD[0], HEAD[0].replace("0=32", "0=64"), "takes 64 where the manifest says 32x16x3"),
    (HEAD[0], "Input in0 0 1 in0", "takes 0 where"),
    (HEAD[2], HEAD[2] + " 0=7", "takes 7 where"),
    (REST[3], REST[3].replace("in2", "e in2"), "the parameter out0"),
    (REST[3], REST[3].replace("out0", "out1"), "no out0"),
    (REST[3], REST[3].replace("out0", "in2"), "for the second time"),
    (REST[3], REST[3].replace("0=2", "0=99"), "expected 0 to 11"),
    (REST[3], REST[3] + " 1=1", "another number of inputs"),
    (REST[3], "BinaryOp mul 2 1 e missing out0 0=2", "which is not there"),
    (REST[3], "Softmax soft 1 1 e out0", "Softmax, which this library does not run"),
    (REST[3], "Convolution3D c 1 1 e out0", "which this library does not run"),
    (REST[3], "Sigmoid s 2 1 e in2 out0", "2 inputs"),
]


@pytest.mark.parametrize(("honest", "lie", "match"), LIES, ids=[f"{i}-{lie[2][:20]}" for i, lie in enumerate(LIES)])
def test_a_layer_that_lies_is_refused(
    refusal: Callable[..., str], files: Files, honest: str, lie: str, match: str
) -> None:
    text = param(NETWORK)
    assert honest in text
    assert match in refusal(*files(text.replace(honest, lie), WEIGHTS))


@pytest.mark.parametrize(
    ("layer", "match"),
    [
        ("Crop x 1 1 s out0 -23309=2,0,0 -23310=2,17,32 -23311=2,1,2", "cuts beyond"),
        ("Crop x 1 1 s out0 -23309=2,5,0 -23310=2,5,32 -23311=2,1,2", "cuts beyond"),
        ("Crop x 1 1 s out0 -23309=2,-1,0 -23310=2,16,32 -23311=2,1,2", "cuts beyond"),
        ("Crop x 1 1 s out0 -23309=2,0,0 -23310=2,8,16 -23311=2,1,1", "cuts beyond"),
        ("Crop x 1 1 s out0 -23309=1,0 -23310=1,4 -23311=1,3", "not there"),
        ("Crop x 1 1 s out0 -23309=1,0 -23310=2,4,4 -23311=1,1", "other lengths"),
        ("Crop x 1 1 s out0 -23309=1,0.0 -23310=1,4 -23311=1,1", "decimal numbers"),
        ("Crop x 1 1 s out0", "other lengths"),
        ("Crop x 1 1 s out0 3=99999", "does not know"),
        ("Padding x 1 1 s out0 1=67108864", "expected 0 to 4096"),
        ("Padding x 1 1 s out0 0=-8", "expected 0 to 4096"),
        ("Padding x 1 1 s out0 0=1 6=3", "expected 0 to 0"),
        ("Padding x 1 1 s out0 0=1", "32x17x3 where a frame"),
        ("Slice x 1 2 s out0 y -23300=2,1,3", "takes 3 of 2 left"),
        ("Slice x 1 2 s out0 y -23300=2,1,1", "leaves 1"),
        ("Slice x 1 2 s out0 y -23300=1,1", "states 1 parts"),
        ("Slice x 1 2 s out0 y -23300=2,-5,8", "takes -5"),
        ("Slice x 1 2 s out0 y", "states 0 parts"),
        ("Slice x 1 2 s out0 y -23300=2,1,2 1=7", "expected -3 to 2"),
        ("Concat x 2 1 s in2 out0", "reads 32x16x3 and 1x1x1"),
        ("Concat x 2 1 s r out0", "32x16x6 where a frame"),
        ("Eltwise x 2 1 s in2 out0 0=1", "reads 32x16x3 and 1x1x1"),
        ("Eltwise x 2 1 s r out0 0=1 -23301=3,1.0,1.0,1.0", "3 factors"),
        ("Tile x 1 1 s out0 -23302=3,1,1000000,1000000", "too large"),
        ("Tile x 1 1 s out0 -23302=3,1,1000,500", "values a pixel"),
        ("Tile x 1 1 s out0 -23302=3,0,1,1", "repeats 0"),
        ("Tile x 1 1 s out0 -23302=4,1,1,1,1", "other axes"),
        ("Tile x 1 1 s out0 1=-4", "repeats -4"),
        ("Interp x 1 1 s out0 0=2 1=1000.0 2=1.0", "scales by 1000.0"),
        ("Interp x 1 1 s out0 0=2 1=0.02 2=0.02", "scales by 0.0"),
        ("Interp x 1 1 s out0 0=2 3=67108864 4=1", "expected 0 to"),
        ("Interp x 1 1 s out0 0=3", "expected 1 to 2"),
        ("Interp x 1 1 s out0 0=2 3=4", "one side"),
        ("GridSample x 2 1 s in2 out0 0=1 1=2 2=1 3=1", "warps 32x16x3 by 1x1x1"),
        ("GridSample x 2 1 s r out0 0=1 1=2 2=1 3=0", "expected 1 to 1"),
        ("IfrnetWarp x 2 1 s r out0", "warps 32x16x3 by 32x16x3"),
        ("PixelShuffle x 1 1 s out0 0=2", "3 channels"),
        ('Reshape x 1 1 s out0 6="32,16,4"', "makes 32x16x4"),
        ('Reshape x 1 1 s out0 6="//(0w,0),16,3"', "does not know"),
        ('Reshape x 1 1 s out0 6="*(99999999,99999999),1,1"', "makes a side"),
        ('Reshape x 1 1 s out0 6="sqrt(4),1,1"', "does not know"),
        ('Reshape x 1 1 s out0 6="1w,16,3"', "does not know"),
        ('Reshape x 1 1 s out0 6="32,16,3,2" 12=0 13=0', "batch of 2"),
        ('Reshape x 1 1 s out0 6="32,16,3,1,1,1"', "6 sides"),
        ('Reshape x 1 1 s out0 6="' + "+(1," * 20 + "1" + ")" * 20 + '"', "does not know"),
        ("Reshape x 1 1 s out0 0=-1 1=-1 2=3", "of 32x16x3"),
        ("Reshape x 1 1 s out0 0=67108864 1=67108864 2=67108864", "a side of"),
        ("Reshape x 1 1 s out0", "0 sides"),
        ("MemoryData x 0 1 out0 0=1000000 1=1000000 2=1000000", "too large"),
        ("MemoryData x 0 1 out0 0=0", "expected 1"),
        ("MemoryData x 0 1 out0 0=3 2=3", "no height"),
        ("MemoryData x 0 1 out0 0=32 1=16 2=3", "more weights"),
        ("Pooling x 1 1 s out0 0=1 4=1", "it gives 3 where"),
    ],
)
def test_a_last_layer_that_lies_is_refused(refusal: Callable[..., str], files: Files, layer: str, match: str) -> None:
    assert match in refusal(*files(param((*SUM[:5], layer))))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "does not begin"),
        ("7767517\n", "does not begin"),
        (param(SUM).replace("7767517", "7767518"), "does not begin"),
        (param(SUM).replace("6 7", "7 7"), "it states 7 and 7"),
        (param(SUM).replace("6 7", "6 6"), "it states 6 and 6"),
        (param(SUM).replace("6 7", "6 -7"), "no count"),
        (param(SUM).replace("6 7", "6 7 7"), "does not begin"),
        ("7767517\n0 0\n", "0 layers"),
        (param(SUM) + "Split\n", "none of a layer"),
        (param(SUM) + "Split s 900000 900000 x\n", "states 900000 inputs"),
        (param(SUM) + "Split s -1 1 x\n", "no count"),
        (param(SUM).replace("in1 0 1", "in1 0 1\t"), "none of ASCII"),
        (param(SUM).replace("add", "addé"), "none of ASCII"),
        (param(SUM).replace("add", "a" * 300), "too long a name"),
        (param(SUM) + " " * 2**20, "bytes"),
        (param(SUM[1:]), "which is not there"),
    ],
)
def test_what_is_no_text_of_a_network_is_refused(
    refusal: Callable[..., str], files: Files, text: str, match: str
) -> None:
    assert match in refusal(*files(text))
