"""``python -m benchmarks demo``: export, prove and run everything once, on a real pair of frames."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkError
from runtimes.artifact import MANIFEST, read_manifest
from runtimes.cli import Parser
from runtimes.compare import psnr
from runtimes.contract import Timesteps, Verdict
from runtimes.video.stills import read_8_bits

if TYPE_CHECKING:
    from PIL import Image
    from rich.console import Console

EPILOG = """\
examples:
  python -m benchmarks demo
  python -m benchmarks demo --model finetuned.pth --frames my_frames
"""

FRAMES = Path("assets/bbb")

Frame = NDArray[np.uint8]

PANEL = (512, 288)
"""Width and height of each picture, in pixels."""

GAIN = 8
"""The difference is shown this many times as large."""

STEPS = 8
"""The animation takes this many steps from one frame to the other."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to make the middle frame.

    Attributes:
        seconds: of the second call; None where there is nothing to time.
        psnr_to_truth, psnr_to_pytorch: in dB, of 8-bit frames.
        artifact: the folder and the device, where an artifact made the frame.
        timesteps: which t it serves.
    """

    name: str
    frame: Frame
    psnr_to_truth: float
    psnr_to_pytorch: float | None = None
    seconds: float | None = None
    artifact: tuple[Path, str] | None = None
    timesteps: Timesteps = Timesteps.MIDDLE


def configure(parser: Parser) -> None:
    """The options of ``demo``."""
    parser.add_argument("--model", default="ifrnet_s", help="built-in name or checkpoint file (default: %(default)s)")
    parser.add_argument(
        "--frames",
        type=Path,
        default=FRAMES,
        help="folder with frame0.png, middle.png, frame1.png (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, default=Path("demo-output"), help="(default: %(default)s)")


def execute(args: argparse.Namespace) -> int:
    """Export, prove, interpolate, show; the exit code is that of the export."""
    from rich.console import Console

    from export.__main__ import main as export

    frame0, truth, frame1 = (read_frame(args.frames / f"{name}.png") for name in ("frame0", "middle", "frame1"))
    height, width = truth.shape[:2]
    artifacts = args.out / "artifacts"
    command = ["--target", "all", "--model", args.model, "--size", f"{width}x{height}", "--out", str(artifacts)]
    command.append("--force")  # what an earlier demonstration left may go
    console = Console(soft_wrap=True, highlight=False)
    say = partial(console.print, markup=False)
    say("1. Export the network to every target that can be built here, and compare each artifact with PyTorch")
    say("   (about 15 s each on two cores):")
    say(f"   python -m export {shlex.join(command)}")
    code = export(command)
    say("\n2. Make the middle frame of a real pair with each artifact that passed:")
    pytorch = pytorch_row(args.model, frame0, frame1, truth)
    average = ((frame0.astype(np.uint16) + frame1 + 1) // 2).astype(np.uint8)
    rows = [
        Row(name="the mean of both frames", frame=average, psnr_to_truth=distance(average, truth)),
        pytorch,
        *artifact_rows(artifacts, frame0, frame1, truth, pytorch.frame),
    ]
    print_rows(console, rows)
    say("\n3. Look at the pictures:")
    shown = rows[-1]
    panels = args.out / "strip.png"
    side_by_side(frame0, shown.frame, truth, frame1).save(panels)
    say(
        f"   {panels}: frame 0, the frame that {shown.name} made, the true middle frame, frame 1, and the difference "
        f"between the made and the true one, {GAIN} times as large"
    )
    if shown.artifact is not None and shown.timesteps is Timesteps.ANY:
        animation = args.out / "slow.webp"
        slow_motion(shown.artifact, frame0, frame1, animation)
        say(f"   {animation}: from frame 0 to frame 1 and back, with {STEPS - 1} frames made in between")
    say(NEXT)
    return code


NEXT = """
4. Try next (with .venv/bin on the PATH):
   ifrnet-runtimes video in.mp4 out.mp4                        twice the frames of a video of yours
   make web                                                    the same in a browser, at http://127.0.0.1:8000/
   python -m export --target openvino --int8 --size 640x360    8-bit integers: the fastest on most CPUs"""


def read_frame(path: Path) -> Frame:
    """An (H, W, 3) uint8 picture; 16 bits are rounded.

    Raises:
        BenchmarkError: there is none.
        VideoError: not an image, or larger than what is decoded.
    """
    if not path.is_file():
        raise BenchmarkError(f"{path} is missing: run from the repository, or pass --frames with a folder that has it")
    return read_8_bits(path)


def distance(a: Frame, b: Frame) -> float:
    """PSNR in dB of two uint8 frames."""
    return psnr(a / 255.0, b / 255.0)


def pytorch_row(model: str, frame0: Frame, frame1: Frame, truth: Frame) -> Row:
    """The reference itself."""
    import torch

    from ifrnet import interpolate, load_model
    from runtimes.frames import to_frame, to_tensor

    net = load_model(model)
    img0, img1 = (torch.from_numpy(to_tensor(frame)) for frame in (frame0, frame1))
    for _ in range(2):  # the second call is timed, as for artifacts
        start = time.perf_counter()
        with torch.inference_mode():
            output = interpolate(net, img0, img1, torch.full((1, 1, 1, 1), 0.5))
        frame = to_frame(output.numpy(), np.dtype(np.uint8))
        seconds = time.perf_counter() - start
    return Row(name="PyTorch", frame=frame, seconds=seconds, psnr_to_truth=distance(frame, truth))


def artifact_rows(folder: Path, frame0: Frame, frame1: Frame, truth: Frame, reference: Frame) -> list[Row]:
    """Every artifact on every device that passed; the second call is timed."""
    from runtimes import load

    rows = []
    for path in sorted(folder.iterdir()):
        if not (path / MANIFEST).is_file():
            continue
        manifest = read_manifest(path)
        for record in manifest.parity:
            if record.verdict is not Verdict.PASSED:
                continue
            with load(path, device=record.device) as runtime:
                runtime.interpolate(frame0, frame1)
                start = time.perf_counter()
                frame = runtime.interpolate(frame0, frame1)
                seconds = time.perf_counter() - start
            rows.append(
                Row(
                    name=f"{manifest.target} on {record.device}, {runtime.spec.arithmetic}",
                    frame=frame,
                    seconds=seconds,
                    psnr_to_truth=distance(frame, truth),
                    psnr_to_pytorch=distance(frame, reference),
                    artifact=(path, record.device),
                    timesteps=runtime.spec.timesteps,
                )
            )
    return rows


def slow_motion(artifact: tuple[Path, str], frame0: Frame, frame1: Frame, output: Path) -> None:
    """An animation of the motion between two frames, there and back."""
    from PIL import Image

    from runtimes import load

    path, device = artifact
    with load(path, device=device) as runtime:
        made = runtime.interpolate(frame0, frame1, [i / STEPS for i in range(1, STEPS)])
    frames = [Image.fromarray(frame).resize(PANEL, Image.Resampling.LANCZOS) for frame in (frame0, *made, frame1)]
    first, *others = [*frames, *frames[-2:0:-1]]
    first.save(output, save_all=True, append_images=others, duration=80, loop=0, quality=80, method=4)


def print_rows(console: Console, rows: Sequence[Row]) -> None:
    """The table of the middle frames."""
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    table.add_column("made by")
    for heading in ("PSNR to the true frame", "PSNR to PyTorch's", "ms"):
        table.add_column(heading, justify="right")
    for row in rows:
        near = row.psnr_to_pytorch
        table.add_row(
            row.name,
            f"{row.psnr_to_truth:.2f} dB",
            "-" if near is None else "every pixel equal" if near == float("inf") else f"{near:.1f} dB",
            "-" if row.seconds is None else f"{1000 * row.seconds:.0f}",
        )
    console.print(table)


def side_by_side(frame0: Frame, made: Frame, truth: Frame, frame1: Frame) -> Image.Image:
    """Both frames, the made and the true middle frame and their difference, with labels."""
    from PIL import Image, ImageDraw

    difference = (GAIN * np.abs(made.astype(np.int16) - truth)).clip(0, 255).astype(np.uint8)
    panels = {
        "frame 0": frame0,
        "interpolated": made,
        "true middle frame": truth,
        "frame 1": frame1,
        f"|interpolated - true| x{GAIN}": difference,
    }
    width, height = PANEL
    picture = Image.new("RGB", (len(panels) * width, height + 24), "white")
    draw = ImageDraw.Draw(picture)
    for column, (label, panel) in enumerate(panels.items()):
        picture.paste(Image.fromarray(panel).resize(PANEL, Image.Resampling.LANCZOS), (column * width, 24))
        draw.text((column * width + 6, 5), label, fill="black")
    return picture
