"""``python -m benchmarks npu``: what each arithmetic of Qualcomm's NPU loses to the true frame, by size of frame."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkError
from runtimes.cli import Parser, frame_size
from runtimes.contract import Size

if TYPE_CHECKING:
    import onnx

    from export.qnn_plan import Form, Graph
    from ifrnet import IFRNet
    from ifrnet.footage.video import Frame

EPILOG = """\
Every rounding is simulated by ONNX Runtime on the CPU: Q/DQ of 8 and 16 bits, and in half precision that of each
result. Clips are those of `accuracy --dataset footage`; whole frames are reduced to the size. docs/qnn.md says what
each form is, and how far Qualcomm's emulation is from the simulation.

example:
  python -m benchmarks npu --size 320x180 --size 640x360 --size 1280x720 --per-clip 2
"""

CLIPS = ("phone", "cup", "run", "bbb")


@dataclass(frozen=True, kw_only=True)
class Case:
    """Two frames, the true one between them and what PyTorch makes of them in fp32: all (1, 3, H, W) in [0, 1]."""

    img0: NDArray[np.float32]
    truth: NDArray[np.float32]
    img1: NDArray[np.float32]
    fp32: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One form at one size, in dB over all cases."""

    size: Size
    form: str
    fp32: float
    loss: float
    worst: float
    to_fp32: float

    def __str__(self) -> str:
        cells = (f"{self.fp32:.2f}", f"{self.loss:.3f}", f"{self.worst:.3f}", f"{self.to_fp32:.1f}")
        return f"| {self.size} | {self.form} | {' | '.join(cells)} |"


HEADING = "| size | arithmetic | fp32 to truth | loss | worst loss | to fp32 |\n|---|---|---|---|---|---|"


def configure(parser: Parser) -> None:
    """The options of ``npu``."""
    add = parser.add_argument
    add("--model", default="ifrnet_s", help="built-in name or checkpoint file (default: %(default)s)")
    add("--size", type=frame_size, action="append", help="of the frames; repeatable (default: 320x180)")
    add("--per-clip", type=int, default=2, metavar="N", help="pairs of each of the clips (default: %(default)s)")
    add("--footage", type=Path, help="the footage cache; what it lacks is fetched into it")
    add(
        "--form",
        action="append",
        metavar="NAME",
        help="arithmetic to measure, see docs/qnn.md; repeatable (default: all)",
    )


def execute(args: argparse.Namespace) -> int:
    """Measure and print a table in Markdown."""
    from export.qnn_plan import Form
    from ifrnet import load_model

    if args.per_clip < 1:
        raise BenchmarkError(f"--per-clip {args.per_clip}: expected at least 1")
    known = [str(form) for form in Form]
    for name in args.form or ():
        if name not in known:
            raise BenchmarkError(f"--form {name}: there are {', '.join(known)}")
    forms = [Form(name) for name in args.form or known]
    model = load_model(args.model)
    print(HEADING)
    for size in dict.fromkeys(args.size or [Size(320, 180)]):
        triplets = list(footage(size, args.per_clip, args.footage))
        for row in measure(model, size, triplets, forms):
            print(row, flush=True)
    return 0


def footage(size: Size, per_clip: int, cache: Path | None) -> Iterator[tuple[Frame, Frame, Frame]]:
    """First, true middle and last frame of pairs spread over the evaluation clips, reduced to one size."""
    from PIL import Image

    from ifrnet.footage.download import fetch_all
    from ifrnet.footage.triplets import evaluation_triplets, frames_of

    paths = fetch_all(list(CLIPS), cache=cache)
    for name in CLIPS:
        chosen = evaluation_triplets(name, paths[name], per_clip)
        frames = frames_of(name, paths[name], chosen)
        for triplet in chosen:
            images = (Image.fromarray(frames[i]) for i in (triplet.first, triplet.middle, triplet.last))
            first, middle, last = (image.resize((size.width, size.height), Image.Resampling.BOX) for image in images)
            yield np.asarray(first), np.asarray(middle), np.asarray(last)


def measure(
    model: IFRNet, size: Size, triplets: Sequence[tuple[Frame, Frame, Frame]], forms: Sequence[Form]
) -> Iterator[Row]:
    """One row for each form.

    Args:
        model: the network.
        size: of the frames.
        triplets: see :func:`footage`.
        forms: what to measure.
    """
    from export.qnn_plan import Graph
    from export.qnn_ranges import calibration_feeds, observe
    from export.source import Source
    from export.to_qnn import rewrites
    from runtimes.contract import Precision, SizeRange

    cases = [_case(model, triplet) for triplet in triplets]
    source = Source(model, rewrites(Precision.INT8), Precision.FP32, sizes=SizeRange.static(size))
    graph = Graph(model=source.onnx)
    seen = observe(graph.model, calibration_feeds(size, source.timesteps))
    for form in forms:
        yield _row(size, form, cases, simulated(graph, form, seen, size))


def _case(model: IFRNet, triplet: tuple[Frame, Frame, Frame]) -> Case:
    import torch

    from ifrnet import interpolate
    from runtimes.frames import to_tensor

    img0, truth, img1 = (to_tensor(frame) for frame in triplet)
    with torch.inference_mode():
        fp32 = interpolate(model, torch.from_numpy(img0), torch.from_numpy(img1), torch.full((1, 1, 1, 1), 0.5))
    return Case(img0=img0, truth=truth, img1=img1, fp32=fp32.numpy())


def simulated(graph: Graph, form: Form, seen: object, size: Size) -> bytes:
    """An ONNX file that rounds as the NPU does in ``form``."""
    from export.qnn_plan import Numbers, plan
    from export.qnn_quantize import quantize
    from export.qnn_ranges import Ranges

    chosen = plan(graph, form)
    model = quantize(graph, chosen, Ranges(graph, seen, width=size.width, form=form))  # type: ignore[arg-type]
    round_halves(model, {name for name, numbers in chosen.items() if numbers is Numbers.HALF})
    return model.SerializeToString()


def round_halves(model: onnx.ModelProto, names: set[str]) -> None:
    """Round results to half precision in place, and the kernels that give them."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = list(model.graph.node)
    kernels = {name for node in nodes if names & set(node.output) for name in node.input[1:2]}
    for item in model.graph.initializer:
        if item.name in kernels and item.data_type == TensorProto.FLOAT and len(item.dims) == 4:
            value = numpy_helper.to_array(item).astype(np.float16).astype(np.float32)
            item.CopyFrom(numpy_helper.from_array(value, item.name))
    del model.graph.node[:]
    for node in nodes:
        model.graph.node.append(node)
        name = node.output[0]
        if name in names:
            model.graph.node[-1].output[0] = f"{name}__float"
            model.graph.node.extend(
                [
                    helper.make_node("Cast", [f"{name}__float"], [f"{name}__half"], to=TensorProto.FLOAT16),
                    helper.make_node("Cast", [f"{name}__half"], [name], to=TensorProto.FLOAT),
                ]
            )


def _row(size: Size, form: Form, cases: Sequence[Case], model: bytes) -> Row:
    import onnxruntime

    from runtimes.compare import psnr
    from runtimes.contract import INPUT_NAMES, OUTPUT_NAME

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    half = np.full((1, 1, 1, 1), 0.5, np.float32)
    found = []
    for case in cases:
        output = session.run([OUTPUT_NAME], dict(zip(INPUT_NAMES, (case.img0, case.img1, half), strict=True)))[0]
        best = psnr(case.fp32, case.truth)
        found.append((best, best - psnr(output, case.truth), psnr(output, case.fp32)))
    fp32, losses, to_fp32 = np.array(found).T
    return Row(
        size=size,
        form=str(form),
        fp32=float(fp32.mean()),
        loss=float(losses.mean()),
        worst=float(losses.max()),
        to_fp32=float(to_fp32.mean()),
    )
