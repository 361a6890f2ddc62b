"""Computes a saved ML program of Core ML with PyTorch, operation by operation, where Core ML itself is not to be had.

Every operation is computed in float32 by its published meaning, and its result is rounded to the type that the file
declares. PyTorch's own kernels in half precision are not used: on a CPU they give values that are not finite now and
then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from export.mil_program import Constant, Named, Operation, Program, read_program
from runtimes.artifact import SAVED_FILE, Artifact
from runtimes.base import Runtime
from runtimes.contract import INPUT_NAMES
from runtimes.errors import BackendError
from runtimes.frames import Array


class MilRuntime(Runtime):
    """What the saved file means, on no device: for the parity gate alone.

    Raises:
        BackendError: the package cannot be read.
        ArtifactError: it is for frames of another size than the manifest says.
    """

    def __init__(self, artifact: Artifact) -> None:
        self._program = read_program(artifact.data("/model.mlmodel"), artifact.data("/weight.bin"))
        artifact.check_sizes([self._program.inputs[name][1] for name in INPUT_NAMES[:2]])
        arithmetic = str(artifact.manifest.precision)
        super().__init__(artifact.manifest, backend="coreml", device=SAVED_FILE, arithmetic=arithmetic)

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        values = {name: torch.from_numpy(x) for name, x in zip(INPUT_NAMES, (img0, img1, t), strict=True)}
        output: NDArray[np.float32] = run_program(self._program, values).numpy()
        return output


@torch.inference_mode()
def run_program(program: Program, inputs: Mapping[str, Tensor]) -> Tensor:
    """The first output of a program.

    Raises:
        BackendError: an operation, or a form of one, that is not known here; or a result of another shape than
            declared.
    """
    values = dict(inputs)
    left = Counter(name for operation in program.operations for name in operation.sources())
    left.update(program.outputs)
    for operation in program.operations:
        values[operation.name] = run_operation(operation, values)
        for name in operation.sources():
            left[name] -= 1
            if not left[name]:  # a frame of 720p needs gigabytes otherwise
                values.pop(name, None)
    return values[program.outputs[0]]


def run_operation(operation: Operation, values: Mapping[str, Tensor]) -> Tensor:
    """The result of one operation, float32, rounded to its type. Raises BackendError as :func:`run_program` does."""
    if operation.kind not in OPERATIONS:
        raise BackendError(f"operation {operation.name} is a {operation.kind}, which is not known here")
    result = OPERATIONS[operation.kind](Arguments(operation, values))
    if tuple(result.shape) != operation.shape:
        raise BackendError(f"{operation.name} ({operation.kind}) gives {tuple(result.shape)}, not {operation.shape}")
    if operation.type == "FLOAT16":
        return result.half().float()  # beyond 65504 that is infinite, as it is on a device
    if operation.type != "FLOAT32":
        raise BackendError(f"{operation.name} ({operation.kind}) gives {operation.type}, which is not known here")
    return result


class Arguments:
    """What an operation gets, by parameter."""

    def __init__(self, operation: Operation, values: Mapping[str, Tensor]) -> None:
        self._operation, self._values = operation, values

    def __contains__(self, key: str) -> bool:
        return key in self._operation.inputs

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result, as the file declares it."""
        return self._operation.shape

    def tensors(self, key: str) -> list[Tensor]:
        """Float values, constant or computed."""
        return [self._tensor(item) for item in self._operation.inputs[key]]

    def tensor(self, key: str = "x") -> Tensor:
        """One of them."""
        (value,) = self.tensors(key)
        return value

    def constant(self, key: str) -> Constant:
        """A constant.

        Raises:
            BackendError: it is computed, or missing.
        """
        (value,) = self._operation.inputs.get(key, (Named("nothing"),))
        if isinstance(value, Named):
            raise self.unknown(f"{key} is {value.name}, not a constant")
        return value

    def text(self, key: str) -> str:
        """A constant text."""
        return str(self.constant(key))

    def whole(self, key: str) -> list[int]:
        """Constant whole numbers."""
        return [int(value) for value in np.asarray(self.constant(key)).reshape(-1)]

    def flags(self, key: str, count: int) -> list[bool]:
        """Constant flags; where the parameter is left out, all false."""
        return [bool(value) for value in self.whole(key)] if key in self else [False] * count

    def flag(self, key: str) -> bool:
        """One flag that has to be there."""
        return bool(self.whole(key)[0])

    def number(self, key: str) -> float:
        """A constant number."""
        return float(np.asarray(self.constant(key)).reshape(-1)[0])

    def only(self, key: str, *allowed: object) -> None:
        """Refuse a form of the operation that is not computed here."""
        value = self.constant(key)
        plain: object = value if isinstance(value, str) else np.asarray(value).reshape(-1).tolist()
        if plain not in allowed:
            raise self.unknown(f"{key} is {plain}")

    def unknown(self, what: str) -> BackendError:
        """The error for it."""
        return BackendError(f"{self._operation.name} ({self._operation.kind}): {what}, which is not known here")

    def _tensor(self, item: Named | Constant) -> Tensor:
        if isinstance(item, Named):
            if item.name not in self._values:
                raise self.unknown(f"it reads {item.name}, which nothing gives")
            return self._values[item.name]
        return torch.from_numpy(np.array(item, np.float32))


def _concat(given: Arguments) -> Tensor:
    if "interleave" in given:
        given.only("interleave", [False])
    return torch.cat(given.tensors("values"), dim=given.whole("axis")[0])


def _mean(given: Arguments) -> Tensor:
    return given.tensor().mean(dim=given.whole("axes"), keepdim=given.flag("keep_dims"))


def _pair(combine: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Arguments], Tensor]:
    return lambda given: combine(given.tensor("x"), given.tensor("y"))


def _symmetric(given: Arguments) -> tuple[int, int]:
    given.only("pad_type", "custom")
    top, bottom, left, right = given.whole("pad")
    if (top, left) != (bottom, right):
        raise given.unknown(f"pad is {(top, bottom, left, right)}")
    return top, left


def _conv(given: Arguments) -> Tensor:
    bias = given.tensor("bias") if "bias" in given else None
    given.only("dilations", [1, 1])
    given.only("groups", [1])
    strides = given.whole("strides")
    return F.conv2d(given.tensor(), given.tensor("weight"), bias, strides, _symmetric(given))


def _conv_transpose(given: Arguments) -> Tensor:
    bias = given.tensor("bias") if "bias" in given else None
    given.only("dilations", [1, 1])
    given.only("groups", [1])
    given.only("output_shape", list(given.shape))
    strides = given.whole("strides")
    return F.conv_transpose2d(given.tensor(), given.tensor("weight"), bias, strides, _symmetric(given))


def _pad(given: Arguments) -> Tensor:
    given.only("mode", "replicate")
    pairs = given.whole("pad")  # before and after, of each of the last axes, the outermost first
    *outer, top, bottom, left, right = pairs
    if any(outer):
        raise given.unknown(f"pad is {pairs}")
    return F.pad(given.tensor(), (left, right, top, bottom), mode="replicate")


def _slice(given: Arguments) -> Tensor:
    x = given.tensor()
    begin, end = given.whole("begin"), given.whole("end")
    from_start, to_end = (given.flags(key, x.ndim) for key in ("begin_mask", "end_mask"))
    if any(given.flags("squeeze_mask", x.ndim)):
        raise given.unknown("it squeezes")
    if "stride" in given:
        given.only("stride", [1] * x.ndim)
    for axis, side in enumerate(x.shape):
        first = 0 if from_start[axis] else _from_front(begin[axis], side)
        last = side if to_end[axis] else _from_front(end[axis], side)
        x = x.narrow(axis, first, last - first)
    return x


def _from_front(index: int, side: int) -> int:
    return index + side if index < 0 else index


def _resample(given: Arguments) -> Tensor:
    given.only("coordinates_mode", "normalized_minus_one_to_one")
    padding = {"border": "border", "constant": "zeros", "reflection": "reflection"}
    mode, beyond = given.text("sampling_mode"), given.text("padding_mode")
    if beyond not in padding or mode not in ("bilinear", "nearest"):
        raise given.unknown(f"it is {mode} with {beyond}")
    x, positions = given.tensor(), given.tensor("coordinates")
    return F.grid_sample(x, positions, mode, padding[beyond], align_corners=given.flag("align_corners"))


def _upsample(given: Arguments) -> Tensor:
    corners = given.flag("align_corners")
    if "half_pixel_centers" in given:
        given.only("half_pixel_centers", [not corners])
    factors = given.number("scale_factor_height"), given.number("scale_factor_width")
    return F.interpolate(given.tensor(), scale_factor=factors, mode="bilinear", align_corners=corners)


def _cast(given: Arguments) -> Tensor:
    given.only("dtype", "fp16", "fp32")  # the type of the result rounds it
    return given.tensor()


OPERATIONS: Mapping[str, Callable[[Arguments], Tensor]] = MappingProxyType(
    {
        "add": _pair(torch.add),
        "cast": _cast,
        "clip": lambda given: given.tensor().clamp(given.number("alpha"), given.number("beta")),
        "concat": _concat,
        "conv": _conv,
        "conv_transpose": _conv_transpose,
        "mul": _pair(torch.mul),
        "pad": _pad,
        "prelu": lambda given: F.prelu(given.tensor(), given.tensor("alpha")),
        "reduce_mean": _mean,
        "relu": lambda given: torch.relu(given.tensor()),
        "resample": _resample,
        "sigmoid": lambda given: torch.sigmoid(given.tensor()),
        "slice_by_index": _slice,
        "sub": _pair(torch.sub),
        "tile": lambda given: given.tensor().repeat(given.whole("reps")),
        "transpose": lambda given: given.tensor().permute(given.whole("perm")),
        "upsample_bilinear": _upsample,
    }
)
"""Kind of operation -> what it computes."""
