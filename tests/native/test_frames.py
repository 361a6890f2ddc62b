"""Images of apps to tensors and back in C++, held against the defining formulas in float64, and against swscale.

``frames_probe.cpp`` is compiled with AddressSanitizer and UndefinedBehaviorSanitizer; each plane has memory of its own.
"""

from __future__ import annotations

import itertools
import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtimes.frames import to_frame, to_tensor

ROOT = Path(__file__).parents[2]
NATIVE = ROOT / "runtimes" / "native"

RGB, BGR, RGBA, BGRA, NV12, NV21, I420, P010 = range(8)
NAMES = ("RGB", "BGR", "RGBA", "BGRA", "NV12", "NV21", "I420", "P010")
BT709, BT601, BT2020 = range(3)
LIMITED, FULL = range(2)
LEFT, CENTER, TOPLEFT = range(3)
ARGUMENT, FRAME = 1, 5

LUMA = {BT709: (0.2126, 0.0722), BT601: (0.299, 0.114), BT2020: (0.2627, 0.0593)}
"""Red's and blue's share."""

SIZES = ((38, 22), (37, 21), (1, 1), (2, 1), (1, 2), (519, 5), (256, 4), (257, 3))
"""(width, height): even, odd, the least, and those around the stretches of 256 pixels that are done at once."""

Float = NDArray[np.float64]
Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Form:
    """An image without its pixels; ``gap``: bytes between its rows."""

    layout: int
    width: int
    height: int
    matrix: int = BT709
    range: int = LIMITED
    chroma: int = LEFT
    gap: int = 0
    upside_down: bool = False

    @property
    def bits(self) -> int:
        return 10 if self.layout == P010 else 8

    def planes(self) -> list[tuple[int, int]]:
        """(rows, samples) of each."""
        if self.layout < NV12:
            return [(self.height, self.width * (4 if self.layout >= RGBA else 3))]
        rows, columns = (self.height + 1) // 2, (self.width + 1) // 2
        chroma = [(rows, columns)] * 2 if self.layout == I420 else [(rows, 2 * columns)]
        return [(self.height, self.width), *chroma]

    def line(self, verb: str) -> bytes:
        sample = 2 if self.layout == P010 else 1
        strides = [(self.gap + columns * sample) * (-1 if self.upside_down else 1) for _, columns in self.planes()]
        numbers = (self.layout, self.width, self.height, self.matrix, self.range, self.chroma)
        return " ".join(map(str, (verb, *numbers, *strides, *[0] * (3 - len(strides))))).encode() + b"\n"


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], bytes]:
    compiler = shutil.which("g++") or shutil.which("clang++")
    if not compiler:
        pytest.skip("there is no C++ compiler here")
    program = tmp_path_factory.mktemp("frames") / "frames_probe"
    sources = [Path(__file__).with_name("frames_probe.cpp"), *sorted((NATIVE / "src").glob("frames*.cpp"))]
    flags = ["-std=c++17", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    includes = [f"-I{NATIVE / name}" for name in ("include", "src")]
    subprocess.run([compiler, *flags, *includes, *sources, "-o", program], check=True)

    def run(request: bytes) -> bytes:
        done = subprocess.run([program], input=request, capture_output=True)
        assert done.returncode == 0, (done.returncode, done.stderr.decode()[-4000:])
        return done.stdout

    return run


def read(probe: Callable[[bytes], bytes], forms: list[Form], codes: list[list[Array]]) -> list[NDArray[np.float32]]:
    """(3, H, W) of each image; ``codes``: what lies in memory, plane by plane."""
    request = b"".join(
        form.line("read") + b"".join(np.ascontiguousarray(plane).tobytes() for plane in planes)
        for form, planes in zip(forms, codes, strict=True)
    )
    values = np.frombuffer(probe(request), np.float32)
    found = []
    for form in forms:
        count = 3 * form.height * form.width
        found.append(values[:count].reshape(3, form.height, form.width))
        values = values[count:]
    assert values.size == 0
    return found


def write(probe: Callable[[bytes], bytes], forms: list[Form], frames: list[Array]) -> list[list[Array]]:
    """What lies in memory afterwards, plane by plane: (rows, samples)."""
    request = b"".join(
        form.line("write") + frame.astype(np.float32).tobytes() for form, frame in zip(forms, frames, strict=True)
    )
    data = probe(request)
    found = []
    for form in forms:
        planes = []
        for rows, columns in form.planes():
            dtype = np.dtype("<u2" if form.layout == P010 else "u1")
            count = rows * columns * dtype.itemsize
            planes.append(np.frombuffer(data[:count], dtype).reshape(rows, columns))
            data = data[count:]
        found.append(planes)
    assert not data
    return found


# ---- references --------------------------------------------------------------------------------------------------


def spans(form: Form) -> tuple[float, float, float, float]:
    """(low, span) of luma, (middle, span) of chroma, in codes."""
    unit, peak = float(1 << (form.bits - 8)), float((1 << form.bits) - 1)
    if form.range == FULL:
        return 0.0, peak, 128 * unit, peak
    return 16 * unit, 219 * unit, 128 * unit, 224 * unit


def beside(form: Form) -> tuple[bool, bool]:
    """Whether chroma lies on every second sample, by row and by column; else between two."""
    return form.chroma == TOPLEFT, form.chroma != CENTER


def split(form: Form, planes: list[Array]) -> tuple[Array, Array, Array]:
    """Codes of Y, U and V."""
    if form.layout == I420:
        return planes[0], planes[1], planes[2]
    shift = 6 if form.layout == P010 else 0
    first, second = planes[1][:, 0::2] >> shift, planes[1][:, 1::2] >> shift
    return planes[0] >> shift, *((second, first) if form.layout == NV21 else (first, second))


def enlarged(plane: Float, count: int, on_sample: bool, axis: int) -> Float:
    """Linear interpolation to ``count`` samples, the border repeated."""
    at = (np.arange(count) - (0.0 if on_sample else 0.5)) / 2
    return np.apply_along_axis(lambda line: np.interp(at, np.arange(line.size), line), axis, plane)


def reduced(plane: Float, on_sample: bool, axis: int) -> Float:
    """Every second sample under a triangle, or the mean of each two; the border repeated."""
    lines = np.moveaxis(plane, axis, 0)
    count = (len(lines) + 1) // 2
    padded = np.concatenate([lines[:1], lines, lines[-1:], lines[-1:]])  # [1 + i]: sample i
    left, here, right = (padded[k : k + 2 * count : 2] for k in range(3))
    small = 0.25 * left + 0.5 * here + 0.25 * right if on_sample else (here + right) / 2
    return np.moveaxis(small, 0, axis)


def rgb_reference(form: Form, planes: list[Array]) -> Float:
    """(3, H, W) in [0, 1]."""
    luma, *chroma = (plane.astype(np.float64) for plane in split(form, planes))
    low, span, middle, chroma_span = spans(form)
    rows, columns = beside(form)
    u, v = (
        enlarged(enlarged((plane - middle) / chroma_span, form.height, rows, 0), form.width, columns, 1)
        for plane in chroma
    )
    red_share, blue_share = LUMA[form.matrix]
    y = (luma - low) / span
    red, blue = y + 2 * (1 - red_share) * v, y + 2 * (1 - blue_share) * u
    green = (y - red_share * red - blue_share * blue) / (1 - red_share - blue_share)
    return np.clip(np.stack([red, green, blue]), 0, 1)


def yuv_reference(form: Form, frame: Array) -> list[Float]:
    """Y, U and V in codes, not rounded."""
    red, green, blue = np.clip(frame.astype(np.float32).astype(np.float64), 0, 1)
    red_share, blue_share = LUMA[form.matrix]
    y = red_share * red + (1 - red_share - blue_share) * green + blue_share * blue
    low, span, middle, chroma_span = spans(form)
    rows, columns = beside(form)
    chroma = [
        middle + chroma_span * reduced(reduced(plane, rows, 0), columns, 1)
        for plane in ((blue - y) / (2 * (1 - blue_share)), (red - y) / (2 * (1 - red_share)))
    ]
    return [low + span * y, *chroma]


# ---- tests -------------------------------------------------------------------------------------------------------


def forms(layout: int) -> Iterator[Form]:
    """Every matrix, range and chroma position at every size; gaps and rows upside down in turn."""
    cases = itertools.product(SIZES, (BT709, BT601, BT2020), (LIMITED, FULL), (LEFT, CENTER, TOPLEFT))
    for i, ((width, height), matrix, span, chroma) in enumerate(cases):
        yield Form(
            layout=layout,
            width=width,
            height=height,
            matrix=matrix,
            range=span,
            chroma=chroma,
            gap=(0, 1, 13)[i % 3],
            upside_down=i % 4 == 1,
        )


@pytest.mark.parametrize("layout", [NV12, NV21, I420, P010], ids=NAMES[NV12:])
def test_yuv_is_read_as_the_formulas_say(probe: Callable[[bytes], bytes], layout: int) -> None:
    random = np.random.default_rng(layout)
    images = list(forms(layout))
    codes = [
        [
            random.integers(0, 1024, plane).astype("<u2") * 64
            if layout == P010
            else random.integers(0, 256, plane, np.uint8)
            for plane in form.planes()
        ]
        for form in images
    ]
    for form, planes, found in zip(images, codes, read(probe, images, codes), strict=True):
        np.testing.assert_allclose(found, rgb_reference(form, planes), rtol=0, atol=2e-6, err_msg=str(form))
        assert 0.0 <= found.min() <= found.max() <= 1.0


@pytest.mark.parametrize("layout", [NV12, NV21, I420, P010], ids=NAMES[NV12:])
def test_yuv_is_written_as_the_formulas_say(probe: Callable[[bytes], bytes], layout: int) -> None:
    random = np.random.default_rng(layout)
    images = list(forms(layout))
    frames = [random.uniform(-0.2, 1.2, (3, form.height, form.width)) for form in images]
    for form, frame, planes in zip(images, frames, write(probe, images, frames), strict=True):
        if layout == P010:
            assert all(not np.any(plane & 63) for plane in planes)  # the lower six bits
        expected = [np.clip(plane, 0, (1 << form.bits) - 1) for plane in yuv_reference(form, frame)]
        for found, plane in zip(split(form, planes), expected, strict=True):
            assert np.abs(found - plane).max() <= 0.501, form  # to the nearest, but for sums in float32


@pytest.mark.parametrize("layout", [NV12, I420, P010], ids=[NAMES[i] for i in (NV12, I420, P010)])
def test_pure_colours_reach_the_ends_of_the_range(probe: Callable[[bytes], bytes], layout: int) -> None:
    """The full range's largest chroma is half a step above its largest code."""
    spans_and_matrices = itertools.product((LIMITED, FULL), (BT709, BT601, BT2020))
    images = [
        Form(layout=layout, width=6, height=4, range=s, matrix=m) for s, m in spans_and_matrices for _ in range(8)
    ]
    colours = [np.array(colour, np.float64) for colour in itertools.product((0, 1), repeat=3)] * 6
    frames = [np.broadcast_to(colour[:, None, None], (3, 4, 6)) for colour in colours]
    for form, frame, planes in zip(images, frames, write(probe, images, frames), strict=True):
        for found, plane in zip(split(form, planes), yuv_reference(form, frame), strict=True):
            peak = (1 << form.bits) - 1
            assert np.abs(found - np.clip(plane, 0, peak)).max() <= 0.501, form


def test_the_lower_bits_of_p010_are_not_read(probe: Callable[[bytes], bytes]) -> None:
    form = Form(layout=P010, width=18, height=6)
    codes = [np.random.default_rng(1).integers(0, 1024, plane).astype("<u2") * 64 for plane in form.planes()]
    clean, dirty = read(probe, [form, form], [codes, [plane | 63 for plane in codes]])
    np.testing.assert_array_equal(clean, dirty)


@pytest.mark.parametrize("layout", [RGB, BGR, RGBA, BGRA], ids=NAMES[:NV12])
def test_rgb_is_what_the_python_runtime_makes_of_it(probe: Callable[[bytes], bytes], layout: int) -> None:
    random = np.random.default_rng(layout)
    order = [0, 1, 2] if layout in (RGB, RGBA) else [2, 1, 0]
    images = [
        Form(layout=layout, width=w, height=h, gap=gap, upside_down=down)
        for (w, h), (gap, down) in itertools.product(SIZES, ((0, False), (5, False), (0, True), (3, True)))
    ]
    pixels = [
        random.integers(0, 256, (form.height, form.width, 3 if layout < RGBA else 4), np.uint8) for form in images
    ]
    tensors = read(probe, images, [[picture.reshape(len(picture), -1)] for picture in pixels])
    frames = [random.uniform(-0.2, 1.2, (3, form.height, form.width)).astype(np.float32) for form in images]
    written = write(probe, images, frames)
    for form, picture, tensor, frame, (plane,) in zip(images, pixels, tensors, frames, written, strict=True):
        np.testing.assert_array_equal(tensor, to_tensor(picture[:, :, order])[0], err_msg=str(form))
        out = plane.reshape(picture.shape)
        np.testing.assert_array_equal(out[:, :, order], to_frame(frame[None], np.dtype(np.uint8)), err_msg=str(form))
        assert layout < RGBA or np.all(out[:, :, 3] == 255)


def test_rgb_is_rounded_half_to_even_and_clamped(probe: Callable[[bytes], bytes]) -> None:
    halves = (np.arange(255, dtype=np.float32) + np.float32(0.5)) / np.float32(255)
    extremes = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, -0.0, 1.0, 1.0000001], np.float32)
    values = np.concatenate(
        [halves, np.nextafter(halves, np.float32(0)), np.nextafter(halves, np.float32(1)), extremes]
    )
    form = Form(layout=RGB, width=values.size, height=1)
    ((found,),) = write(probe, [form], [np.broadcast_to(values, (3, 1, values.size))])
    finite = np.nan_to_num(values, nan=0.0)
    expected = to_frame(np.broadcast_to(finite, (1, 3, 1, values.size)), np.dtype(np.uint8))
    np.testing.assert_array_equal(found.reshape(-1, 3), expected[0])


@pytest.mark.parametrize("layout", range(8), ids=NAMES)
def test_what_is_read_and_written_again_is_the_same(probe: Callable[[bytes], bytes], layout: int) -> None:
    """RGB exactly. YUV where chroma is flat, which no filter changes; luma and chroma within what RGB can show."""
    for span, chroma, (width, height) in itertools.product(
        (LIMITED, FULL), (LEFT, CENTER, TOPLEFT), ((38, 22), (37, 21))
    ):
        form = Form(layout=layout, width=width, height=height, range=span, chroma=chroma, matrix=BT2020)
        random = np.random.default_rng(layout)
        if layout < NV12:
            codes = [random.integers(0, 256, plane, np.uint8) for plane in form.planes()]
            if layout >= RGBA:
                codes[0][:, 3::4] = 255
        else:
            unit, dtype = (4 * 64, "<u2") if layout == P010 else (1, "u1")
            luma = (random.integers(90, 170, form.planes()[0]) * unit).astype(dtype)
            codes = [luma, *(np.full(plane, 131 * unit, dtype) for plane in form.planes()[1:])]
        (back,) = write(probe, [form], list(read(probe, [form], [codes])))
        for before, after in zip(codes, back, strict=True):
            np.testing.assert_array_equal(before, after, err_msg=str(form))


@pytest.mark.parametrize("span", [LIMITED, FULL], ids=["limited", "full"])
@pytest.mark.parametrize(("matrix", "number"), [(BT601, 6), (BT709, 1), (BT2020, 9)], ids=["601", "709", "2020"])
@pytest.mark.parametrize("layout", [NV12, NV21, I420, P010], ids=NAMES[NV12:])
def test_swscale_agrees_on_smooth_pictures(
    probe: Callable[[bytes], bytes], layout: int, matrix: int, number: int, span: int
) -> None:
    pytest.importorskip("av", reason="PyAV is not installed")
    from runtimes.video.color import Color, Converter

    # Slopes of at most half a level a pixel: swscale places chroma elsewhere, and filters it by cubic curves.
    form = Form(layout=layout, width=384, height=256, matrix=matrix, range=span)
    y, x = np.mgrid[0:256, 0:384] / 384.0
    smooth = np.stack([0.2 + 0.6 * x, 0.3 + 0.5 * y, 0.8 - 0.3 * x - 0.3 * y], axis=-1)
    dtype, peak, name = (np.uint16, 65535, "yuv420p10le") if layout == P010 else (np.uint8, 255, "yuv420p")
    converter = Converter(Color(matrix=number, full=span == FULL))
    theirs = converter.from_rgb(np.rint(smooth * peak).astype(dtype), name)
    (planes,) = write(probe, [form], [np.moveaxis(smooth, -1, 0)])
    for mine, codes in zip(split(form, planes), planar(theirs), strict=True):
        assert worst(mine, codes) <= (3 if layout == P010 else 1)  # of 1023 or 255
    (tensor,) = read(probe, [form], [joined(form, planar(theirs))])
    assert worst(255 * np.moveaxis(tensor, 0, -1), 255 * (converter.to_rgb(theirs) / peak)) <= 2


def worst(a: Array, b: Array) -> float:
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())


def joined(form: Form, codes: list[Array]) -> list[Array]:
    """The planes of a layout from the codes of Y, U and V."""
    if form.layout == I420:
        return codes
    y, u, v = (plane << 6 for plane in codes) if form.layout == P010 else codes
    pair = (v, u) if form.layout == NV21 else (u, v)
    return [y, np.stack(pair, axis=-1).reshape(len(u), -1)]


def planar(frame: Any) -> list[Array]:
    """The codes of a planar frame."""
    dtype = np.dtype("<u2" if frame.format.name.endswith("10le") else "u1")
    return [
        np.frombuffer(memoryview(plane), dtype).reshape(plane.height, -1)[:, : plane.width] for plane in frame.planes
    ]


# ---- what is refused ---------------------------------------------------------------------------------------------

GOOD = {"address": 1 << 20, "stride": 40, "bytes": 40 * 8}
TOP = 2 ** (8 * struct.calcsize("P"))


def checked(
    probe: Callable[[bytes], bytes], layout: int = NV12, size: str = "10 8", enums: str = "0 0 0", **plane: Any
) -> tuple[int, str]:
    """Status and sentence for an image, whose plane ``index`` is not as in GOOD."""
    index = plane.pop("index", 0)
    planes = [GOOD | plane if i == index else GOOD for i in range(3)]
    numbers = " ".join(f"{p['address']} {p['stride']} {p['bytes']}" for p in planes)
    status, _, message = (
        probe(f"check {layout} {size} {enums} 10 8 {numbers}\n".encode()).decode().strip().partition(" ")
    )
    return int(status), message


@pytest.mark.parametrize("layout", range(8), ids=NAMES)
def test_good_images_pass(probe: Callable[[bytes], bytes], layout: int) -> None:
    assert checked(probe, layout) == (0, "")
    assert checked(probe, layout, stride=-40) == (0, "")
    least = {RGB: 30, BGR: 30, RGBA: 40, BGRA: 40, P010: 20}.get(layout, 10)
    assert checked(probe, layout, stride=least, bytes=least * 8) == (0, "")
    assert checked(probe, layout, stride=40, bytes=40 * 7 + least) == (0, "")  # no gap after the last row
    assert checked(probe, layout, stride=40, bytes=40 * 7 + least - 1)[0] == FRAME
    assert checked(probe, layout, stride=least - 1)[0] == FRAME


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"size": "10 9"}, FRAME, "img0 is 10x9, the artifact takes 10x8: scale it, or export another .* --size 10x9"),
        ({"size": "0 0"}, FRAME, "img0 is 0x0; expected 10x8"),
        ({"size": "-10 8"}, FRAME, "img0 is -10x8; expected 10x8"),
        ({"layout": 8}, FRAME, r"layout is 8; expected one of 0 \(RGB\), .*, 7 \(P010\)"),
        ({"layout": -1}, FRAME, "layout is -1; expected one of"),
        ({"enums": "3 0 0"}, FRAME, r"matrix is 3; expected one of 0 \(BT.709\), 1 \(BT.601\), 2 \(BT.2020\)"),
        ({"enums": "0 2 0"}, FRAME, r"range is 2; expected one of 0 \(limited\), 1 \(full\)"),
        ({"enums": "0 0 99"}, FRAME, r"chroma is 99; expected one of 0 \(left\), 1 \(center\), 2 \(top left\)"),
        ({"address": 0}, ARGUMENT, r"plane\[0\] is NULL; expected the address of the first row of Y \(NV12\)"),
        ({"address": 0, "index": 1}, ARGUMENT, r"plane\[1\] is NULL; .* of U and V"),
        ({"address": 0, "index": 1, "layout": NV21}, ARGUMENT, r"plane\[1\] is NULL; .* of V and U"),
        ({"address": 0, "index": 2, "layout": I420}, ARGUMENT, r"plane\[2\] is NULL; .* of V "),
        ({"stride": 9}, FRAME, r"stride\[0\] is 9; expected at least 10, the bytes of a row of Y at 10 pixels of NV12"),
        ({"stride": -9}, FRAME, r"stride\[0\] is -9; expected at least 10"),
        ({"stride": 0}, FRAME, r"stride\[0\] is 0; expected at least 10"),
        ({"stride": 19, "layout": P010}, FRAME, r"stride\[0\] is 19; expected at least 20"),
        ({"bytes": 289}, FRAME, r"bytes\[0\] is 289; expected at least 290, which 8 rows with stride 40 take"),
        ({"bytes": 129, "index": 1}, FRAME, r"bytes\[1\] is 129; expected at least 130, which 4 rows"),
        ({"stride": TOP // 2 - 1, "bytes": TOP - 1}, FRAME, "8 rows are larger than memory can be"),
        ({"stride": -TOP // 2, "bytes": TOP - 1}, FRAME, "8 rows are larger than memory can be"),
        ({"stride": TOP // 7 - 2, "bytes": TOP - 1}, FRAME, "expected an address with .* bytes after it"),
        ({"address": TOP - 100}, FRAME, r"plane\[0\] is 0x[0-9a-f]+; expected an address with 290 bytes after it"),
        ({"address": 200, "stride": -40}, FRAME, r"plane\[0\] is 0xc8; expected an address with 290 bytes before it"),
        ({"address": TOP - 5, "stride": -40}, FRAME, "expected an address with 290 bytes before it"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_do(
    probe: Callable[[bytes], bytes], change: dict[str, Any], status: int, words: str
) -> None:
    found, message = checked(probe, **change)
    assert found == status, message
    assert re.search(words, message), message


def test_rgb_needs_no_matrix_range_or_chroma(probe: Callable[[bytes], bytes]) -> None:
    assert checked(probe, RGB, enums="77 77 77") == (0, "")


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ((RGB, 10, 8, 0, 30), (RGB, 10, 8, 240, 30), False),  # one after the other
        ((RGB, 10, 8, 0, 30), (RGB, 10, 8, 239, 30), True),
        ((RGB, 10, 8, 0, 30), (RGB, 10, 8, 0, 30), True),
        ((RGB, 10, 8, 0, 30), (RGB, 10, 8, 0, -30), True),
        ((RGB, 10, 8, 0, 60), (RGB, 10, 8, 30, 60), False),  # halves of one picture
        ((RGB, 10, 8, 0, 60), (RGB, 10, 8, 29, 60), True),
        ((RGB, 10, 8, 0, 60), (RGB, 10, 8, 31, 60), True),
        ((RGB, 10, 8, 0, 60), (RGB, 10, 8, 30, -60), False),
        ((RGB, 10, 8, 0, 60), (RGB, 10, 8, 0, 120), True),
        ((NV12, 10, 8, 0, 10), (I420, 10, 8, 120, 10), False),
        ((NV12, 10, 8, 0, 10), (I420, 10, 8, 119, 10), True),  # the last plane of one, the first of the other
        ((I420, 9, 7, 500, 10), (P010, 9, 7, 0, 20), False),
    ],
)
def test_overlap(
    probe: Callable[[bytes], bytes], first: tuple[int, ...], second: tuple[int, ...], shared: bool
) -> None:
    request = " ".join(map(str, ("overlap", *first, *second)))
    assert probe(request.encode() + b"\n").strip() == (b"1" if shared else b"0")
