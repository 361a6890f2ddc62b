"""The bytes of a ``.bin`` against the layers of its ``.param``: ncnn trusts both."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest

from runtimes.backends.ncnn_layers import Layer, read_layers
from runtimes.backends.ncnn_weights import INT8_TAG, Stored, check_int8, read_weights
from runtimes.contract import Precision

PARAM = """7767517
5 6
Input in0 0 1 in0 0=96 1=64 2=3
Split split 1 2 in0 a b
Convolution conv 1 1 a f 0=2 1=3 5=1 6=54 8=2
PReLU relu 1 1 f g 0=2
MemoryData row 0 1 h 0=3 1=1 2=2
"""

KERNEL = np.arange(54, dtype=np.int8) - 27
BIAS, SCALES, SLOPES, ROW = (0.5, -0.5), (100.0, 200.0, 30.0), (0.25, 0.1), (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


CONVOLUTION = struct.pack("<I", INT8_TAG) + KERNEL.tobytes() + b"\0\0" + floats(*BIAS, *SCALES)
REST = floats(*SLOPES, *ROW)
DATA = CONVOLUTION + REST


def layers(old: str = "", new: str = "") -> list[Layer]:
    assert old in PARAM
    return read_layers(PARAM.replace(old, new, 1))


def test_int8_weights_are_read_with_bias_and_scales() -> None:
    convolution, prelu, row = read_weights(layers(), DATA)
    assert (convolution.stored, prelu.stored, row.stored) == (Stored.INT8, Stored.FLOAT32, Stored.FLOAT32)
    assert convolution.kernel[:54] == KERNEL.tobytes()
    assert convolution.rest.tolist() == [*BIAS, *SCALES]
    assert convolution.scales.tolist() == [*SCALES]
    assert np.frombuffer(prelu.kernel, np.float32).tolist() == pytest.approx([*SLOPES])
    assert np.frombuffer(row.kernel, np.float32).tolist() == [*ROW]
    assert prelu.scales.size == row.scales.size == 0


@pytest.mark.parametrize(
    ("tag", "width", "stored"),
    [(0, 4, "float32"), (0x0002C056, 4, "float32"), (0x01306B47, 2, "float16"), (0x01348B83, 2, "bfloat16")],
)
def test_float_weights_are_read(tag: int, width: int, stored: str) -> None:
    data = struct.pack("<I", tag) + bytes(54 * width) + floats(*BIAS) + REST
    convolution = read_weights(layers(" 8=2"), data)[0]
    assert convolution.stored == stored
    assert convolution.rest.tolist() == [*BIAS]
    assert convolution.scales.size == 0


def test_a_layer_that_hands_on_int8_has_a_scale_more() -> None:
    data = CONVOLUTION + floats(5.0) + REST
    assert read_weights(layers("8=2", "8=102"), data)[0].scales.tolist() == [*SCALES, 5.0]


def without_tag(data: bytes) -> bytes:
    return bytes(4) + data[4:]


def int8_row(data: bytes) -> bytes:
    return data[:-24] + struct.pack("<I", INT8_TAG) + bytes(8)


def scale(value: float) -> Callable[[bytes], bytes]:
    start = len(CONVOLUTION) - 4
    return lambda data: data[:start] + floats(value) + data[start + 4 :]


@pytest.mark.parametrize(
    ("old", "new", "change", "reason"),
    [
        ("", "", lambda data: data[:-1], "needs"),
        ("", "", lambda data: data + b"\0", "bytes of weights, the .bin has"),
        ("", "", lambda data: b"", "needs 4 bytes"),
        ("", "", without_tag, "needs|float32 and states 8=2"),
        ("", "", lambda data: b"\x01" + data[1:], "stored as 0x000d4b01"),
        (" 8=2", "", bytes, "int8 and states 8=0"),
        ("8=2", "8=1", bytes, "states 8=1"),
        ("8=2", "8=101", bytes, "states 8=101"),
        ("8=2", "8=102", bytes, "bytes of weights|scale"),
        ("8=2", "8=2 19=1", bytes, "from another layer"),
        ("Convolution", "Deconvolution", bytes, "weights in int8 and states 8=0"),
        ("6=54", "6=540000", bytes, "needs"),
        ("PReLU relu 1 1 f g 0=2", "PReLU relu 1 1 f g 0=20", bytes, "needs"),
        ("PReLU relu 1 1 f g 0=2", "PReLU relu 1 1 f g 0=-2", bytes, "has a side of -2"),
        ("0=3 1=1 2=2", "0=4000 1=4000 2=0", bytes, "needs"),
        ("0=3 1=1 2=2", "0=-3 1=-1 2=2", bytes, "has a side of -3"),
        ("0=3 1=1 2=2", "0=3 1=1 2=2 21=0", bytes, "needs"),
        ("0=3 1=1 2=2", "0=5 1=1 2=0 21=0", int8_row, "int8 and states 8=0"),
        ("", "", scale(0.0), "a scale that is none"),
        ("", "", scale(-1.0), "a scale that is none"),
        ("", "", scale(float("nan")), "a scale that is none"),
        ("", "", scale(float("inf")), "a scale that is none"),
    ],
)
def test_what_ncnn_would_misread_is_refused(old: str, new: str, change: Callable[[bytes], bytes], reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        read_weights(layers(old, new), change(DATA))
    assert len(str(caught.value)) < 300


def test_int8_under_another_name_is_refused_and_float_under_that_of_int8() -> None:
    weights = read_weights(layers(), DATA)
    check_int8(weights, Precision.INT8)
    check_int8(weights[1:], Precision.FP16)
    with pytest.raises(ValueError, match="1 layers have int8 weights, and the manifest says fp32"):
        check_int8(weights, Precision.FP32)
    with pytest.raises(ValueError, match="0 layers have int8 weights, and the manifest says int8"):
        check_int8(weights[1:], Precision.INT8)
