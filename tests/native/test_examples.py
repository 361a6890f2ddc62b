"""The programs of examples/c and examples/ffmpeg, and the lines of docs/native.md.

They run over ``stub_library.c``, which has the C ABI and arithmetic that a test can repeat, and once over the library.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.native.samples import EXAMPLES, HEADER, INCLUDE, ROOT, STRICT, build_stub, c_compiler, succeed

if TYPE_CHECKING:
    from tests.conftest import Artifacts


@dataclass(frozen=True)
class Program:
    """A program of examples/ with the library that it was linked against."""

    path: Path

    def run(self, *arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([self.path, *map(str, arguments)], input=stdin, capture_output=True, timeout=300)

    def refuses(self, *arguments: object, stdin: bytes = b"", code: int = 1) -> str:
        """The one line with which it ends; nothing goes to standard output."""
        done = self.run(*arguments, stdin=stdin)
        (line,) = done.stderr.decode().splitlines()
        assert (done.returncode, done.stdout) == (code, b"")
        return line


def linked(source: str, library: Path, out: Path, include: Path = INCLUDE) -> Program:
    """A C program of examples/, compiled without a warning."""
    command = (c_compiler(), "-std=c11", "-O1", "-pedantic", *STRICT, f"-I{include}", EXAMPLES / source)
    program = out / Path(source).stem
    succeed(*command, f"-L{library}", "-lifrnet", f"-Wl,-rpath,{library}", "-o", program)
    return Program(program)


@pytest.fixture(scope="session")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``libifrnet.so``, the stub."""
    return build_stub(tmp_path_factory.mktemp("stub"))


# ---- examples/c ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def middle(stub: Path) -> Program:
    return linked("c/middle.c", stub, stub)


def ppm(path: Path, value: int, width: int = 6, height: int = 4) -> Path:
    path.write_bytes(b"P6\n%d %d\n255\n" % (width, height) + bytes([value]) * (3 * width * height))
    return path


def test_the_middle_of_two_pictures(middle: Program, tmp_path: Path) -> None:
    pictures = [ppm(tmp_path / f"{value}.ppm", value) for value in (10, 13)]
    done = middle.run("artifact", *pictures, tmp_path / "out.ppm")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (tmp_path / "out.ppm").read_bytes() == ppm(tmp_path / "expected.ppm", 12).read_bytes()


def test_pictures_of_another_size(middle: Program, tmp_path: Path) -> None:
    pictures = [ppm(tmp_path / f"{width}.ppm", 1, width=width) for width in (6, 7)]
    assert "PPM pictures" in middle.refuses("artifact", *pictures, tmp_path / "out.ppm")
    assert not (tmp_path / "out.ppm").exists()


def test_the_sentence_of_the_library_is_shown(middle: Program, tmp_path: Path) -> None:
    picture = ppm(tmp_path / "a.ppm", 1)
    assert middle.refuses("status:2", picture, picture, tmp_path / "out.ppm") == "middle: status:2"
    assert "usage" in middle.refuses()


# ---- examples/ffmpeg -------------------------------------------------------------------------------------------------

Y4M = b"YUV4MPEG2 W5 H3 F30000:1001 Ip A1:1 C420mpeg2 XYSCSS=420MPEG2 XCOLORRANGE=LIMITED\n"
FRAME_BYTES = 5 * 3 + 2 * 3 * 2  # odd sizes: chroma is 3x2


@pytest.fixture(scope="session")
def y4m_double(stub: Path) -> Program:
    return linked("ffmpeg/y4m_double.c", stub, stub)


def frames(*values: int) -> bytes:
    return b"".join(b"FRAME\n" + bytes([value]) * FRAME_BYTES for value in values)


def test_a_stream_at_twice_its_rate(y4m_double: Program) -> None:
    done = y4m_double.run("artifact", stdin=Y4M + frames(10, 20, 50))
    assert (done.returncode, done.stderr) == (0, b"")
    header, rest = done.stdout.split(b"\n", 1)
    assert header + b"\n" == Y4M.replace(b"F30000", b"F60000")
    assert rest == frames(10, 15, 20, 35, 50, 50)


def test_a_stream_of_one_frame_that_has_parameters(y4m_double: Program) -> None:
    one = frames(7).replace(b"FRAME\n", b"FRAME Ip\n")
    assert y4m_double.run("artifact", stdin=Y4M + one).stdout.split(b"\n", 1)[1] == frames(7, 7)


@pytest.mark.parametrize(
    ("stream", "says"),
    [
        (b"", "no y4m"),
        (b"RIFF....", "no y4m"),
        (b"YUV4MPEG2 " + b"X" * 5000 + b"\n", "header"),
        (Y4M.replace(b"C420mpeg2", b"C444"), "4:2:0"),
        (Y4M.replace(b"C420mpeg2", b"C420p10"), "4:2:0"),
        (Y4M.replace(b"Ip", b"It"), "interlaced"),
        (Y4M.replace(b"W5", b"W99999999999"), "pixels a side"),
        (Y4M.replace(b"H3", b"H-3"), "pixels a side"),
        (Y4M.replace(b"F30000:1001", b"F0:0"), "frame rate"),
        (Y4M.replace(b"F30000:1001", b"F25:-1"), "frame rate"),
        (Y4M.replace(b"F30000:1001", b"F25:18446744073709551615"), "frame rate"),
        (Y4M.replace(b"F30000:1001", b"F4294967297:1"), "frame rate"),
        (Y4M.replace(b"W5", b"W4294967301"), "pixels a side"),
        (Y4M, "no frame"),
        (Y4M + frames(1)[:-1], "within a frame"),
        (Y4M + b"FRAMES\n" + bytes(FRAME_BYTES), "no frame where one must begin"),
    ],
)
def test_a_damaged_stream(y4m_double: Program, stream: bytes, says: str) -> None:
    assert says in y4m_double.refuses("artifact", stdin=stream)


def test_a_stream_that_ends_early_ends_in_an_error(y4m_double: Program) -> None:
    done = y4m_double.run("artifact", stdin=Y4M + frames(1, 2)[:-1])
    assert (done.returncode, done.stderr) == (1, b"y4m_double: the stream ends within a frame\n")


def test_a_failed_proof_has_an_exit_code_of_its_own(y4m_double: Program) -> None:
    assert y4m_double.refuses("status:4", stdin=Y4M, code=2) == "y4m_double: status:4"
    assert y4m_double.refuses("status:2", stdin=Y4M) == "y4m_double: status:2"


def test_an_unknown_matrix(y4m_double: Program) -> None:
    assert "expected 709, 601 or 2020" in y4m_double.refuses("artifact", "2021", stdin=Y4M)
    assert y4m_double.run("artifact", "2020", stdin=Y4M + frames(1)).returncode == 0


def test_a_stream_through_the_library_itself(native_prefix: Path, artifact: Artifacts, tmp_path: Path) -> None:
    folder = shutil.copytree(artifact("ncnn", model="ifrnet_s"), tmp_path / "artifact")
    program = linked("ffmpeg/y4m_double.c", native_prefix / "lib", tmp_path, native_prefix / "include")
    header = b"YUV4MPEG2 W160 H96 F25:1 Ip C420jpeg\n"
    columns = bytes(96 + 64 * (x // 16 % 2) for x in range(160))
    chroma = bytes([128]) * (2 * 80 * 48)
    still, moved = (96 * (columns[shift:] + columns[:shift]) + chroma for shift in (0, 4))
    done = program.run(folder, stdin=header + b"".join(b"FRAME\n" + frame for frame in (still, still, moved)))
    assert (done.returncode, done.stderr) == (0, b"")
    written = done.stdout.split(b"FRAME\n")[1:]
    assert [written[i] for i in (0, 2, 4, 5)] == [still, still, moved, moved]
    assert max(abs(a - b) for a, b in zip(written[1], still, strict=True)) <= 4
    assert still != written[3] != moved
    small = header.replace(b"W160", b"W158") + (b"FRAME\n" + bytes(158 * 96 + 2 * 79 * 48)) * 2
    refused = program.run(folder, stdin=small)
    assert refused.returncode == 1
    assert b"160" in refused.stderr


# ---- docs/native.md --------------------------------------------------------------------------------------------------

PROGRAM = """#include <ifrnet.h>
int failed(const char *why);
int interpolate(void *first, void *second, void *output);
int interpolate(void *first, void *second, void *output) {
%s
return 0;
}
"""


def test_the_lines_of_the_document_compile(tmp_path: Path) -> None:
    text = (ROOT / "docs/native.md").read_text()
    (lines,) = re.findall(r"```c\n(.*?)```", text, re.DOTALL)
    assert len([line for line in lines.splitlines() if line]) <= 15
    (tmp_path / "lines.c").write_text(PROGRAM % lines)
    succeed(c_compiler(), "-std=c11", *STRICT, f"-I{INCLUDE}", "-fsyntax-only", tmp_path / "lines.c")


def test_the_document_names_every_function() -> None:
    functions = re.findall(r"^IFRNET_API .*?(ifrnet_\w+)\(", HEADER.read_text(), re.MULTILINE)
    assert len(functions) == 12
    text = (ROOT / "docs/native.md").read_text()
    assert not [name for name in functions if f"`{name}`" not in text]


def test_the_recipe_stays_short() -> None:
    assert len((EXAMPLES / "ffmpeg/y4m_double.c").read_text().splitlines()) < 200


def test_a_cmake_project_finds_the_library(native_prefix: Path, tmp_path: Path) -> None:
    build = (shutil.which("cmake"), "-S", EXAMPLES / "c", "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={native_prefix}")
    if build[0] is None:
        pytest.skip("CMake is not on the path here")
    succeed(*build)
    succeed(build[0], "--build", tmp_path)
    assert (tmp_path / "middle").is_file()
