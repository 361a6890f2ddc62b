"""Frames to tensors and back, and what is refused."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from runtimes.errors import FrameError
from runtimes.frames import check_frames, check_tensors, size_of, to_frame, to_tensor

PEAKS = {np.uint8: 255, np.uint16: 65535}


@pytest.mark.parametrize("dtype", PEAKS)
def test_every_value_comes_back(dtype: type[np.unsignedinteger]) -> None:
    values = np.arange(PEAKS[dtype] + 1, dtype=dtype)
    frame = np.stack((values, values[::-1], np.roll(values, 7)), axis=-1)[None]  # (1, 256 or 65536, 3)
    tensor = to_tensor(frame)
    assert tensor.dtype == np.float32
    assert tensor.shape == (1, 3, 1, len(values))
    assert tensor.flags.c_contiguous
    assert tensor.min() == 0.0
    assert tensor.max() == 1.0
    back = to_frame(tensor, frame.dtype)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, frame)


@given(arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, max_side=9).map(lambda shape: (*shape[:2], 3))))
def test_channels_rows_and_columns_stay_in_place(frame: np.ndarray) -> None:
    tensor = to_tensor(frame)
    for y, x, channel in np.ndindex(frame.shape):
        assert tensor[0, channel, y, x] == pytest.approx(frame[y, x, channel] / 255.0, abs=1e-7)
    np.testing.assert_array_equal(to_frame(tensor, frame.dtype), frame)


@given(st.floats(-2.0, 3.0, width=32), st.sampled_from(list(PEAKS)))
def test_rounding_is_to_the_nearest(value: float, dtype: type[np.unsignedinteger]) -> None:
    """``round(peak * clamp(x))``; where x is within float32's rounding of a tie, either neighbour will do."""
    peak = PEAKS[dtype]
    found = int(to_frame(np.full((1, 3, 1, 1), value, np.float32), np.dtype(dtype))[0, 0, 0])
    exact = Fraction(min(max(value, 0.0), 1.0)) * peak
    assert abs(found - exact) <= Fraction(1, 2) + Fraction(peak, 2**24)


@pytest.mark.parametrize(
    ("level", "expected"), [(254.9, 255), (254.4, 254), (0.6, 1), (0.4, 0), (-20.0, 0), (280.0, 255)]
)
def test_values_are_rounded_and_clamped(level: float, expected: int) -> None:
    """Truncation would give 254 for 254.9."""
    tensor = np.full((1, 3, 2, 2), level / 255.0, np.float32)
    assert (to_frame(tensor, np.dtype(np.uint8)) == expected).all()


@pytest.mark.parametrize(
    "make", [lambda x: x[::-1], lambda x: x[:, ::2], lambda x: np.asfortranarray(x), lambda x: x[..., ::-1]]
)
def test_strided_frames_are_read_right(make) -> None:  # type: ignore[no-untyped-def]
    frame = make(np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8))
    np.testing.assert_array_equal(to_frame(to_tensor(frame), frame.dtype), frame)


def test_inputs_stay_as_they_were() -> None:
    tensor = np.linspace(-0.5, 1.5, 12, dtype=np.float32).reshape(1, 3, 2, 2)
    before = tensor.copy()
    to_frame(tensor, np.dtype(np.uint8))
    np.testing.assert_array_equal(tensor, before)


FRAME = np.zeros((4, 6, 3), np.uint8)

BAD_FRAMES = {
    "float": (FRAME.astype(np.float32), FRAME, "float frames go to infer"),
    "int": (FRAME, FRAME.astype(np.int64), "img1 is int64; expected a uint8 or uint16 array"),
    "list": (FRAME.tolist(), FRAME, "img0 is list"),
    "none": (FRAME, None, "img1 is NoneType"),
    "grey": (FRAME[..., 0], FRAME[..., 0], r"expected \(H, W, 3\)"),
    "alpha": (np.zeros((4, 6, 4), np.uint8),) * 2 + (r"expected \(H, W, 3\)",),
    "planar": (np.zeros((3, 4, 6), np.uint8),) * 2 + (r"expected \(H, W, 3\)",),
    "empty": (FRAME[:0],) * 2 + ("shape",),
    "two sizes": (FRAME, FRAME[:2], "the frames differ"),
    "two depths": (FRAME, FRAME.astype(np.uint16), "the frames differ"),
}


@pytest.mark.parametrize("kind", BAD_FRAMES)
def test_frames_that_do_not_fit(kind: str) -> None:
    img0, img1, message = BAD_FRAMES[kind]
    with pytest.raises(FrameError, match=message):
        check_frames(img0, img1)  # type: ignore[arg-type]


def test_frames_that_fit() -> None:
    assert str(check_frames(FRAME, FRAME)) == "6x4"
    assert str(check_frames(FRAME.astype(np.uint16), FRAME.astype(np.uint16))) == "6x4"
    assert str(size_of(FRAME)) == "6x4"


X = np.full((1, 3, 4, 6), 0.5, np.float32)
T = np.full((1, 1, 1, 1), 0.5, np.float32)


def with_value(value: float) -> np.ndarray:
    x = X.copy()
    x[0, 1, 2, 3] = value
    return x


BAD_TENSORS = {
    "float64": (X.astype(np.float64), X, T, "img0 is an array of float64; expected a float32 array"),
    "uint8": (X, (X * 255).astype(np.uint8), T, "img1 is an array of uint8"),
    "t float": (X, X, 0.5, "t is a float and no array; expected a float32 array"),
    "t scalar": (X, X, np.float32(0.5), "t is a float32 and no array; expected a float32 array"),
    "t shape": (X, X, T.reshape(1), "t has shape"),
    "batch": (np.concatenate((X, X)),) * 2 + (T, r"expected \(1, 3, H, W\)"),
    "layout": (X.transpose(0, 2, 3, 1),) * 2 + (T, r"expected \(1, 3, H, W\)"),
    "no batch": (X[0], X[0], T, r"expected \(1, 3, H, W\)"),
    "empty": (X[:, :, :0],) * 2 + (T, r"expected \(1, 3, H, W\)"),
    "two sizes": (X, X[:, :, :2], T, r"expected \(1, 3, H, W\)"),
    "nan": (with_value(np.nan), X, T, "img0 ranges from nan to nan; expected finite"),
    "infinity": (X, with_value(np.inf), T, "img1 ranges"),
    "negative": (with_value(-0.01), X, T, r"expected finite values in \[0, 1\]"),
    "a little above": (X, with_value(1.0000001), T, "img1 ranges from .* to 1.00000012; expected finite values"),
    "0 to 255": (X * 255, X * 255, T, r"expected finite values in \[0, 1\]"),
}


@pytest.mark.parametrize("kind", BAD_TENSORS)
def test_tensors_that_do_not_fit(kind: str) -> None:
    img0, img1, t, message = BAD_TENSORS[kind]
    with pytest.raises(FrameError, match=message):
        check_tensors(img0, img1, t)  # type: ignore[arg-type]


def test_tensors_that_fit() -> None:
    assert str(check_tensors(X, with_value(1.0), T)) == "6x4"
