"""What this machine can do at best: matrix products in each arithmetic, and a copy in memory, in turn with the rows.

Which library's product is the fastest depends on the processor, so several are measured and the fastest counts. In CPU
time on 2 cores of an AMD EPYC (Zen 5) with AVX512, BF16 and VNNI, side lengths of 2048, GFLOP/s of both cores:

==========  ==========================================================================================
float32     PyTorch (MKL) 196, ONNX Runtime (MLAS) 463, OpenVINO (MLAS too) 467: MKL is slow on AMD
bfloat16    PyTorch (oneDNN) 815, OpenVINO (oneDNN) 830: 1.8 times float32
int8        OpenVINO (oneDNN, u8 x i8) 1723, which is 3.7 times float32, PyTorch's ``_int_mm`` 1150, ONNX Runtime's
            ``MatMulInteger`` 932
==========  ==========================================================================================

So float32 is measured with PyTorch and ONNX Runtime, bfloat16 with PyTorch, int8 with OpenVINO and PyTorch. PyTorch's
float16 is left out: without AVX512-FP16 one product of it takes minutes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.without_artifact import manifest_without_files
from runtimes.base import Runtime
from runtimes.contract import Precision, Timesteps
from runtimes.errors import BackendError
from runtimes.frames import Array

SIDE = 2048
"""Of the matrices."""

CHAIN = 4
"""Products in a row, in libraries that run graphs: reading the input and reducing the output weigh less."""

COPY_MB = 256
"""What the copy reads, in MB of 1e6 bytes: more than any cache holds."""

FLAGS = MappingProxyType(
    {
        Precision.FP32: (),
        Precision.BF16: ("avx512_bf16", "amx_bf16", "bf16"),
        Precision.INT8: ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"),
    }
)
"""Instruction sets of which a processor has at least one where the arithmetic is faster than float32."""

Work = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Product:
    """A matrix product of one library.

    Attributes:
        library: its distribution.
        make: gives what computes it, for a number of threads.
        count: products in a call.
    """

    library: str
    precision: Precision
    make: Callable[[int], Work]
    count: int = 1

    @property
    def gflop(self) -> float:
        """Of a call, a multiply-add counted as two."""
        return 2e-9 * SIDE**3 * self.count


def products_here(flags: Sequence[str]) -> Iterator[Product]:
    """Those whose library is installed and whose arithmetic this processor has.

    Args:
        flags: as ``benchmarks.report.environment.describe`` gives them.
    """
    for product in PRODUCTS:
        wanted = FLAGS[product.precision]
        if importlib.util.find_spec(product.library) and (not wanted or set(wanted) & set(flags)):
            yield product


def kind_of_limit(arithmetic: str) -> Precision | None:
    """The arithmetic whose product limits a row: the narrowest that its convolutions run in.

    ``int8 with bf16`` is held against int8, ``bf16+fp32`` against bf16. Half precision has no product: None.
    """
    if arithmetic == f"{Precision.FP16} storage":  # its sums are float32
        return Precision.FP32
    words = arithmetic.replace("+", " ").split()
    return next((kind for kind in (Precision.INT8, Precision.BF16, Precision.FP32) if kind.value in words), None)


class Repeated(Runtime):
    """Does something that is not the network, whatever the frames: what is timed of it is the machine."""

    def __init__(self, name: str, work: Work, arithmetic: str) -> None:
        self._work = work
        manifest = manifest_without_files(name, backend=name, timesteps=Timesteps.ANY)
        super().__init__(manifest, backend=name, device="cpu", arithmetic=arithmetic)

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        self._work()
        return img0


def load_product(library: str, precision: str, threads: int) -> Runtime:
    """A product of :data:`PRODUCTS` as a runtime.

    Raises:
        BackendError: the library does not compute it in that arithmetic here.
    """
    product = next(item for item in PRODUCTS if (item.library, item.precision) == (library, precision))
    return Repeated("matrix product", product.make(threads), precision)


def load_copy(threads: int) -> Runtime:
    """A copy in memory, larger than caches, by as many threads as the rows have."""
    import torch

    torch.set_num_threads(threads)
    source = torch.ones(COPY_MB * 1_000_000 // 4)
    target = torch.empty_like(source)
    return Repeated("memory copy", lambda: target.copy_(source), "none")


def _torch_float(kind: str) -> Callable[[int], Work]:
    def make(threads: int) -> Work:
        import torch

        torch.set_num_threads(threads)
        random = torch.Generator().manual_seed(0)
        a, b = (torch.rand(SIDE, SIDE, generator=random).to(getattr(torch, kind)) for _ in range(2))
        out = torch.empty_like(a)
        return lambda: torch.mm(a, b, out=out)

    return make


def _torch_int8(threads: int) -> Work:
    import torch

    torch.set_num_threads(threads)
    random = torch.Generator().manual_seed(0)
    a, b = (torch.randint(-128, 128, (SIDE, SIDE), dtype=torch.int8, generator=random) for _ in range(2))
    return lambda: torch._int_mm(a, b.t())


def _onnxruntime(threads: int) -> Work:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(_weights(), "weight")
    names = ["in", *(f"product{i}" for i in range(CHAIN))]
    nodes = [helper.make_node("MatMul", [x, "weight"], [y]) for x, y in pairwise(names)]
    nodes.append(helper.make_node("ReduceMax", [names[-1]], ["out"], keepdims=1))
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("in", [SIDE] * 2), ("out", [1, 1]))]
    graph = helper.make_graph(nodes, "products", values[:1], values[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    x = _weights()
    return lambda: session.run(None, {"in": x})


def _openvino_int8(threads: int) -> Work:
    import openvino
    from openvino import opset13 as ops

    from runtimes.backends.openvino import shared_core

    def eight_bits(x: object) -> object:
        low, high = ops.constant(np.float32(0.0)), ops.constant(np.float32(1.0))
        return ops.fake_quantize(x, low, high, low, high, 256)

    bits = np.random.default_rng(0).integers(-127, 128, (SIDE, SIDE)).astype(np.int8)
    x = last = ops.parameter([SIDE, SIDE], np.float32)
    for _ in range(CHAIN):
        weight = ops.multiply(ops.convert(ops.constant(bits), "f32"), ops.constant(np.float32(0.01)))
        last = ops.matmul(eight_bits(last), weight, False, True)
    model = openvino.Model([ops.reduce_max(last, ops.constant(np.array([0, 1])), True)], [x])
    properties = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = shared_core().compile_model(model, "CPU", properties)
    _check_int8(compiled)
    request, values = compiled.create_infer_request(), _weights()
    return lambda: request.infer({0: values}, share_inputs=True)


def _check_int8(compiled: Any) -> None:
    """No float product may pass for one in int8. Raises BackendError."""
    from runtimes.backends.openvino import executed_layers

    ran = [precision for kind, precision, _ in executed_layers(compiled) if kind in ("FullyConnected", "MatMul")]
    if len(ran) != CHAIN or not set(ran) <= {"u8", "i8"}:
        raise BackendError(f"OpenVINO computes the int8 product in {', '.join(ran) or 'nothing'}, expected u8 or i8")


def _weights() -> NDArray[np.float32]:
    """A square matrix whose products keep their size: no overflow, no denormals."""
    return np.random.default_rng(0).random((SIDE, SIDE), dtype=np.float32) * np.float32(2.0 / SIDE)


PRODUCTS = (
    Product(library="torch", precision=Precision.FP32, make=_torch_float("float32")),
    Product(library="onnxruntime", precision=Precision.FP32, make=_onnxruntime, count=CHAIN),
    Product(library="torch", precision=Precision.BF16, make=_torch_float("bfloat16")),
    Product(library="torch", precision=Precision.INT8, make=_torch_int8),
    Product(library="openvino", precision=Precision.INT8, make=_openvino_int8, count=CHAIN),
)
"""What is measured, where the processor and the library are there."""
