"""What ncnn trusts in a ``.param``, and we do not: counts, names of blobs, sizes; the weights: test_ncnn_weights.py."""

from __future__ import annotations

import pytest

from runtimes.backends.ncnn import stated_shapes
from runtimes.backends.ncnn_layers import MAX_NUMBER, checked_layers, read_layers

PARAM = """7767517
5 6
Input in0 0 1 in0 0=96 1=64 2=3
Split split 1 2 in0 a b
Convolution conv 1 1 a f 0=4 1=3 6=108
PReLU relu 1 1 f g 0=4
Reshape flat 1 1 b r 0=1 6="1,1,//(6,0n)" -23300=2,1,-233
"""


def test_a_whole_network_is_read() -> None:
    layers = checked_layers(PARAM)
    assert [layer.kind for layer in layers] == ["Input", "Split", "Convolution", "PReLU", "Reshape"]
    assert layers[1].outputs == ("a", "b")
    assert layers[2].numbers == {"0": "4", "1": "3", "6": "108"}
    assert stated_shapes(layers) == [[1, 3, 64, 96]]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("7767517", "7767518"),
        ("5 6", "5"),
        ("5 6", "4 6"),
        ("5 6", "5 5"),
        ("5 6", "5 9999999999"),
        ("5 6\n", ""),
        ("Split split 1 2 in0 a b", "Split split 1 -1 in0 a b"),
        ("Split split 1 2 in0 a b", "Split split 1 200 in0 a b"),
        ("Split split 1 2 in0 a b", "Split split -1 2 in0 a b"),
        ("Split split 1 2 in0 a b", "Split split one 2 in0 a b"),
        ("Split split 1 2 in0 a b", "Split split 1 3 in0 a b b"),
        ("Split split 1 2 in0 a b", "Split"),
        ("1 1 a f", "1 1 later f"),
        ("1 1 f g", "1 1 f a"),
        ("0=4 1=3", "0=4 =3"),
        ("0=4 1=3", "0=4 x=3"),
        ("0=4 1=3", "0=4 1="),
        ("0=4 1=3", "0=4 1=nan"),
        ("0=4 1=3", f"0=4 1={MAX_NUMBER + 1}"),
        ("0=4 1=3", f"0=4 1={'9' * 5000}"),
        ("-23300=2,1,-233", "-23300=3,1,-233"),
        ("-23300=2,1,-233", "-23300=2"),
        ("0=4 1=3", "0=4 1=-3"),
        ("0=4 1=3", "0=4 1=0"),
        ("0=4 1=3", "0=0 1=3"),
        ("0=4 1=3", "0=4 1=3 0=2"),
        ("0=4 1=3", "0=4 1=3 3=0"),
        ("0=4 1=3", "0=4 1=3 14=-1"),
        ("0=4 1=3", "0=4 1=3 4=1000"),
        ("0=4 1=3", "0=5 1=3"),
        ("PReLU relu 1 1 f g 0=4", "Pooling pool 1 1 f g 0=1 1=2 2=0"),
        ("6=108", "6=109"),
        (PARAM, ""),
        (PARAM, "\n\n"),
    ],
)
def test_what_ncnn_would_misread_is_refused(old: str, new: str) -> None:
    assert old in PARAM
    with pytest.raises(ValueError, match=r".") as caught:
        checked_layers(PARAM.replace(old, new, 1))
    assert len(str(caught.value)) < 300


def test_an_exporter_may_read_what_states_a_wrong_count() -> None:
    assert len(read_layers(PARAM.replace("5 6", "5 7"))) == 5
