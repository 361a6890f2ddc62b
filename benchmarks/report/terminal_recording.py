"""A recording of a terminal as an animated SVG: real commands, run here, their output line by line as it came.

``python -m benchmarks.report.terminal_recording docs/terminal.svg`` makes that of the README.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from benchmarks.report.results_file import write_text

COLUMNS, ROWS = 104, 24
LINE, CHARACTER, MARGIN = 20, 8.43, 14
"""Height of a line, width of a character at 14 px, and the border, in pixels."""

TYPING_S, PAUSE_S, LONGEST_WAIT_S, END_S = 0.045, 0.8, 4.0, 6.0
"""A key, the time after a command, what a longer wait is cut to, and how long the end stands."""

TIMEOUT_S = 600


@dataclass(frozen=True)
class Line:
    """A line of the terminal and when it appears, in seconds."""

    at: float
    text: str
    typed: bool = False


def record(commands: Sequence[str], folder: Path, environment: Mapping[str, str]) -> list[Line]:
    """Run each command and note when its lines came; a wait beyond :data:`LONGEST_WAIT_S` is cut.

    Args:
        commands: for the shell.
        folder: where they run.
        environment: theirs.

    Raises:
        RuntimeError: one of them fails.
    """
    lines: list[Line] = []
    now = 0.5
    for command in commands:
        lines.append(Line(now, command, typed=True))
        now += TYPING_S * len(command) + 0.3
        for waited, text in _output(command, folder, environment):
            now += min(waited, LONGEST_WAIT_S)
            lines += [Line(now, text[i : i + COLUMNS]) for i in range(0, max(len(text), 1), COLUMNS)]
        now += PAUSE_S
    return lines


def _output(command: str, folder: Path, environment: Mapping[str, str]) -> Iterator[tuple[float, str]]:
    """Seconds since the line before, and each line of both streams."""
    last = time.perf_counter()
    with subprocess.Popen(
        shlex.split(command),
        cwd=folder,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            now = time.perf_counter()
            yield now - last, line.rstrip("\n")
            last = now
        if process.wait(TIMEOUT_S):
            raise RuntimeError(f"{command}: exit code {process.returncode}")


def svg(lines: Sequence[Line]) -> str:
    """The recording, without scripts; it plays once and ends with the last lines."""
    width, height = round(2 * MARGIN + COLUMNS * CHARACTER), 2 * MARGIN + ROWS * LINE
    duration = lines[-1].at + END_S
    scrolls = [(line.at, max(0, i + 1 - ROWS)) for i, line in enumerate(lines)]
    frames = "".join(
        f"{100 * at / duration:.3f}%{{transform:translateY({-LINE * rows}px)}}" for at, rows in scrolls if rows
    )
    body = "\n".join(_text(line, MARGIN + LINE * (i + 1) - 5) for i, line in enumerate(lines))
    box = f'viewBox="0 0 {width} {height}" role="img" aria-label="A terminal"'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" {box}>
<style>
text{{font:14px ui-monospace,Menlo,Consolas,monospace;fill:#d7dde3;white-space:pre}}
text{{opacity:0;animation:show 1ms forwards}}
.typed{{fill:#7fe0d2}}
#all{{animation:scroll {duration:.1f}s steps(1,end) forwards}}
@keyframes show{{to{{opacity:1}}}}
@keyframes scroll{{0%{{transform:translateY(0)}}{frames}100%{{transform:translateY({-LINE * scrolls[-1][1]}px)}}}}
</style>
<rect width="{width}" height="{height}" rx="8" fill="#14181d"/>
<svg y="{MARGIN}" width="{width}" height="{height - 2 * MARGIN}"><g transform="translate(0,{-MARGIN})"><g id="all">
{body}
</g></g></svg>
</svg>
"""


def _text(line: Line, y: int) -> str:
    kind, text = (' class="typed"', f"$ {line.text}") if line.typed else ("", line.text)
    return f'<text{kind} x="{MARGIN}" y="{y}" style="animation-delay:{line.at:.2f}s">{escape(text)}</text>'


def main(out: Path) -> None:
    """Record what the README begins with, in an empty folder, with the commands of this environment."""
    root = Path(__file__).parents[2]
    scripts = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        for name in ("frame0.png", "frame1.png"):
            (here / name).write_bytes((root / "assets" / "bbb" / name).read_bytes())
        commands = (
            "ifrnet-runtimes artifacts",
            "ifrnet-runtimes interpolate frame0.png frame1.png -o middle.png",
            "ifrnet-runtimes demo frame0.png frame1.png",
            "ls",
            f"python -m runtimes verify {root}/runtimes/artifacts/ifrnet_s-openvino-fp16-dynamic --device cpu",
        )
        environment = os.environ | {
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "IFRNET_CACHE": str(here / ".cache"),
            "COLUMNS": str(COLUMNS),
        }
        lines = record(commands, here, environment)
    shown = [Line(line.at, line.text.replace(f"{root}/", ""), line.typed) for line in lines]
    write_text(out, svg(shown))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
