"""FFmpeg's ``minterpolate`` over a whole file: what users take who have no network."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.accuracy.methods import Minterpolate
from benchmarks.errors import BenchmarkError
from benchmarks.speed.held_out import RATE

FILTER = f"fps={RATE}:{Minterpolate.SETTINGS}"

ENCODER = ("libx264", {"crf": "18"})
"""As ``python -m runtimes video`` encodes."""


def runner_here() -> str:
    """``PyAV`` where its FFmpeg has the filter, ``ffmpeg`` where the program is there and has it.

    Raises:
        BenchmarkError: neither.
    """
    if importlib.util.find_spec("av") is not None:
        import av

        if "minterpolate" in av.filter.filters_available:
            return "PyAV"
    if shutil.which("ffmpeg") is None:
        raise BenchmarkError("this PyAV's FFmpeg has no minterpolate, and there is no ffmpeg: install PyAV from PyPI")
    listed = subprocess.run(["ffmpeg", "-hide_banner", "-filters"], capture_output=True, text=True, check=False).stdout
    if "minterpolate" not in listed:
        raise BenchmarkError("neither this PyAV's FFmpeg nor the ffmpeg program has minterpolate")
    return "ffmpeg"


class WholeFile:
    """Lives in a process of its own. ``ready`` says which FFmpeg runs.

    Raises:
        BenchmarkError: see :func:`runner_here`.
    """

    def __init__(self) -> None:
        self.ready = runner_here()

    def run(self, source: Path, target: Path) -> float:
        """Decode, filter, encode; returns the seconds from the first frame to the closed file."""
        start = time.perf_counter()
        if self.ready == "PyAV":
            _with_pyav(source, target)
        else:
            _with_program(source, target)
        return time.perf_counter() - start


def _with_program(source: Path, target: Path) -> None:
    """Raises BenchmarkError when ffmpeg fails."""
    name, options = ENCODER
    encoder = ["-c:v", name, *(word for key, value in options.items() for word in (f"-{key}", value))]
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(source), "-vf", f"minterpolate={FILTER}", *encoder, str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"ffmpeg ended with exit code {done.returncode}: {done.stderr.strip()[-300:]}")


def _with_pyav(source: Path, target: Path) -> None:
    import av

    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream: Any = reader.streams.video[0]
        graph: Any = av.filter.Graph()
        given = graph.add_buffer(template=stream)
        graph.link_nodes(given, graph.add("minterpolate", FILTER), graph.add("buffersink")).configure()
        name, options = ENCODER
        out: Any = writer.add_stream(name, rate=RATE, options=options)
        out.width, out.height, out.pix_fmt = stream.width, stream.height, "yuv420p"
        for frame in reader.decode(stream):
            graph.push(frame)
            _encode(graph, out, writer)
        graph.push(None)
        _encode(graph, out, writer)
        writer.mux(out.encode(None))


def _encode(graph: Any, stream: Any, writer: Any) -> None:
    """Whatever the filter has ready."""
    import av

    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        writer.mux(stream.encode(frame))
