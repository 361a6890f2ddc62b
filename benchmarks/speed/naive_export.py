"""What a user has without this project: ``torch.onnx.export`` of the network as published, run as it comes out.

The export takes PyTorch's defaults (exporter, opset, optimisation) and the frame size, padded outside to multiples of
16 as the official scripts do. ONNX Runtime and OpenVINO read the file with their default settings and the number of
threads that all rows have. OpenVINO's default arithmetic depends on the processor: float32 is asked for by name, and
where the default would be bfloat16, that is a row too.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.options import Selection
from benchmarks.report.results_file import NAIVE
from benchmarks.speed.exporting import Report
from benchmarks.speed.rows import NOT_AN_ARTIFACT, Row
from benchmarks.speed.turns import PlannedRow
from benchmarks.speed.without_artifact import manifest_without_files
from benchmarks.speed.worker import Worker, WorkerError
from runtimes.base import Runtime
from runtimes.contract import INPUT_NAMES, Precision, Size, Timesteps
from runtimes.frames import Array

MULTIPLE = 16
"""Of the sides that the network takes."""

FILE = "naive.onnx"


def naive_rows(
    chosen: Selection, flags: Sequence[str], folder: Path, report: Report
) -> tuple[list[PlannedRow], list[Row]]:
    """Export once, and plan the rows that the selection asks for.

    Args:
        chosen: of the benchmark.
        flags: of the processor.
        folder: receives the file; it has to live as long as the rows run.
        report: receives a line when the export begins.

    Returns:
        The planned rows; or, where PyTorch cannot export the network, rows with the reason.
    """
    rows = list(_rows(chosen, flags))
    if not rows:
        return [], []
    report("exporting as published, with torch.onnx.export")
    try:
        with Worker(NaiveExport, chosen.model, str(chosen.size), str(folder / FILE), log=folder / "log.txt") as worker:
            timesteps: str = worker.answer()
    except WorkerError as error:
        reason = f"torch.onnx.export failed: {error}"
        return [], [replace(row, reason=reason) for row in rows]
    path = str(folder / FILE)
    planned = [
        PlannedRow(row=row, load=load_naive, arguments=(path, row.backend, row.precision, timesteps, chosen.threads))
        for row in rows
    ]
    return planned, []


def _rows(chosen: Selection, flags: Sequence[str]) -> Iterator[Row]:
    """One for each backend that reads ONNX files and is installed, on the CPU."""
    if not chosen.naive or (chosen.devices is not None and "cpu" not in chosen.devices):
        return
    bf16 = {"avx512_bf16", "amx_bf16"} & set(flags)
    for backend, precision in (
        ("onnxruntime", Precision.FP32),
        ("openvino", Precision.FP32),
        *((("openvino", Precision.BF16),) if bf16 else ()),
    ):
        wanted = chosen.precisions is None or precision in chosen.precisions
        if wanted and backend in chosen.backends and importlib.util.find_spec(backend):
            yield Row(backend=backend, precision=precision, device="cpu", form=NAIVE, verdict=NOT_AN_ARTIFACT)


class NaiveExport:
    """Lives in a process of its own: the export is done when it is made. ``ready`` is which t the network serves.

    Args:
        model: see ``--model``.
        size: of the frames.
        path: of the file.
    """

    def __init__(self, model: str, size: str, path: str) -> None:
        import torch

        from ifrnet import load_model

        net = load_model(model).eval()
        assert net.info is not None
        frame = Size.parse(size)
        shape = (1, 3, frame.height + -frame.height % MULTIPLE, frame.width + -frame.width % MULTIPLE)
        img0, img1 = torch.zeros(shape), torch.zeros(shape)  # torch.export takes one tensor twice for one input
        t = torch.full((1, 1, 1, 1), 0.5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the exporter says of its own insides
            torch.onnx.export(
                net, (img0, img1, t), path, input_names=list(INPUT_NAMES), output_names=["imgt"], external_data=False
            )
        self.ready = net.info.timesteps.value


class NaiveRuntime(Runtime):
    """An exported file with frames padded on the right and at the bottom outside of it, and cut again."""

    def __init__(self, backend: str, precision: str, timesteps: str) -> None:
        manifest = manifest_without_files(NAIVE, backend=backend, timesteps=Timesteps(timesteps))
        super().__init__(manifest, backend=backend, device="cpu", arithmetic=precision)

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        height, width = img0.shape[2:]
        pad = ((0, 0), (0, 0), (0, -height % MULTIPLE), (0, -width % MULTIPLE))
        if any(sum(sides) for sides in pad):
            img0, img1 = (np.pad(img, pad, mode="edge") for img in (img0, img1))
        return np.ascontiguousarray(self._run({"img0": img0, "img1": img1, "t": t})[:, :, :height, :width])

    def _run(self, values: dict[str, Array]) -> Array:
        raise NotImplementedError


class NaiveOnnxRuntime(NaiveRuntime):
    """ONNX Runtime on the CPU with default options."""

    def __init__(self, path: str, precision: str, timesteps: str, threads: int) -> None:
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._names = {value.name for value in self._session.get_inputs()}
        super().__init__("onnxruntime", precision, timesteps)

    def _run(self, values: dict[str, Array]) -> Array:
        output: Array = self._session.run(None, {name: x for name, x in values.items() if name in self._names})[0]
        return output


class NaiveOpenVino(NaiveRuntime):
    """OpenVINO on the CPU with default properties, but for the arithmetic."""

    def __init__(self, path: str, precision: str, timesteps: str, threads: int) -> None:
        from runtimes.backends.openvino import shared_core

        model = shared_core().read_model(path)
        properties = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32" if precision == Precision.FP32 else "bf16",
        }
        self._compiled = shared_core().compile_model(model, "CPU", properties)
        self._request = self._compiled.create_infer_request()
        self._names = {value.any_name for value in self._compiled.inputs}
        super().__init__("openvino", precision, timesteps)

    def _run(self, values: dict[str, Array]) -> Array:
        self._request.infer({name: x for name, x in values.items() if name in self._names}, share_inputs=True)
        output: Array = self._request.get_output_tensor(0).data
        return output


LOADERS = {"onnxruntime": NaiveOnnxRuntime, "openvino": NaiveOpenVino}
"""Backend -> what runs the file on it."""


def load_naive(path: str, backend: str, precision: str, timesteps: str, threads: int) -> Runtime:
    """The exported file on one backend."""
    return LOADERS[backend](path, precision, timesteps, threads)
