"""The parity gate: an artifact is run by its own runtime and compared with PyTorch before it gets its name.

The reference is :func:`ifrnet.interpolate`, never the deploy graph: a bug planted in a rewrite must fail here.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from export.declarations import Tolerance
from export.errors import ExportError
from export.mil_runtime import MilRuntime
from ifrnet.model import IFRNet, interpolate, pair_mean
from ifrnet.variants import size_multiple
from ifrnet.warp import resize
from runtimes.artifact import SAVED_FILE, Artifact, DeviceParity, ParityResult
from runtimes.base import Runtime
from runtimes.compare import Comparison, compare
from runtimes.contract import Precision, Size, SizeRange, Timesteps, Verdict
from runtimes.device import Device
from runtimes.errors import BackendError, DeviceMismatchError, DeviceUnavailableError
from runtimes.frames import to_tensor
from runtimes.machine import Machine
from runtimes.registry import backend, runner, runners
from runtimes.scene import Scene
from runtimes.tuning import Tuning

DYNAMIC_SIZES = (Size(333, 251), Size(640, 352))
"""Where dynamic artifacts are compared: neither is traced, and one has odd sides."""


MARGIN = 6.0
"""dB that an artifact may be further from PyTorch than rounding alone moves PyTorch: twice the error. Where a network
has to choose (what enters or leaves the frame) it amplifies any rounding, anywhere."""

MARGIN_OF_PIXELS = 4.0
"""The same for the largest error of a pixel, as a factor: it scatters more than the mean."""

FLOOR = 35.0
"""dB below which no rounding is an excuse in half precision; in float32 that is the tolerance itself."""

MOST_CLAMPED = 0.5
"""Share of the values of PyTorch's own frame that may be clamped: of weights twice too large it is all, and whatever an
artifact makes of those is clamped to the same. The built-in ones leave 1 %; of the scene itself it is 4 %."""

ROUNDINGS = {Precision.FP32: torch.float64, Precision.FP16: torch.float16, Precision.BF16: torch.bfloat16}
"""What shows how much rounding moves PyTorch: convolutions in half precision, or for float32 all of it in float64."""


EMULATED_PIXELS = 640 * 360
"""The largest frames that an export emulates unasked: four minutes for two frames in half precision on one core. Frames
of 1280x720 took seven times as long (Qualcomm's NPU, onnxruntime-qnn 2.7.0)."""

FILES: Mapping[str, Callable[[Artifact], Runtime]] = MappingProxyType({"coreml": MilRuntime})
"""Backend -> what computes its files where it cannot be had itself."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One comparison: frames, time step, and what PyTorch makes of them."""

    scene: Scene
    t: float
    img0: NDArray[np.float32]
    img1: NDArray[np.float32]
    expected: NDArray[np.float32]
    median_flow: float

    @property
    def size(self) -> Size:
        """Of the frames."""
        return self.scene.size


class Reference:
    """What PyTorch computes, once for all artifacts of a run.

    Args:
        model: the network.
        timesteps: which t the model serves; one that serves any is compared at 0.5 and away from it.
        scale: see :func:`ifrnet.interpolate`.
    """

    def __init__(self, model: IFRNet, timesteps: Timesteps, scale: float) -> None:
        self._model, self._scale = model, scale
        self._steps = (0.5,) if timesteps is Timesteps.MIDDLE else (0.25, 0.5)
        self._cases: dict[Size, tuple[Case, ...]] = {}
        self._rounded: dict[tuple[Size, float, torch.dtype], NDArray[np.float32]] = {}

    def cases(self, size: Size) -> tuple[Case, ...]:
        """The comparisons at one size.

        Raises:
            ExportError: the network gives no frames, so that there is nothing to compare with.
        """
        if size not in self._cases:
            scene = Scene.of(size)
            frames = scene.frames()
            pair = to_tensor(frames[0]), to_tensor(frames[1])
            self._cases[size] = tuple(self._case(scene, pair, t) for t in self._steps)
        return self._cases[size]

    def rounded(self, case: Case, dtype: torch.dtype) -> NDArray[np.float32]:
        """What the network makes of ``case`` in another of :data:`ROUNDINGS`."""
        key = (case.size, case.t, dtype)
        if key not in self._rounded:
            exact = dtype is torch.float64
            model = copy.deepcopy(self._model).double() if exact else round_convolutions(self._model, dtype)
            inputs = (torch.from_numpy(case.img0), torch.from_numpy(case.img1), torch.full((1, 1, 1, 1), case.t))
            with torch.inference_mode():
                img0, img1, t = (x.double() if exact else x for x in inputs)
                self._rounded[key] = interpolate(model, img0, img1, t, self._scale).float().numpy()
        return self._rounded[key]

    def _case(self, scene: Scene, frames: tuple[NDArray[np.float32], NDArray[np.float32]], t: float) -> Case:
        img0, img1 = (torch.from_numpy(frame) for frame in frames)
        step = torch.full((1, 1, 1, 1), t)
        with torch.inference_mode():
            expected = interpolate(self._model, img0, img1, step, self._scale)
        if not expected.isfinite().all():
            raise ExportError(
                f"PyTorch itself gives values that are not finite with these weights ({scene.size}, t = {t}); expected "
                "frames: the training diverged, take an earlier checkpoint"
            )
        clamped = float(((expected <= 0.0) | (expected >= 1.0)).float().mean())
        if clamped > MOST_CLAMPED:
            raise ExportError(
                f"PyTorch itself gives frames of which {clamped:.0%} is clamped to 0 or 1 with these weights "
                f"({scene.size}, t = {t}); expected at most {MOST_CLAMPED:.0%}, since there any artifact agrees: "
                "the training diverged, or the weights are not what they are named; take an earlier checkpoint"
            )
        return Case(
            scene=scene,
            t=t,
            img0=frames[0],
            img1=frames[1],
            expected=expected.numpy(),
            median_flow=median_flow(self._model, img0, img1, step, self._scale),
        )


def round_convolutions(model: IFRNet, dtype: torch.dtype) -> IFRNet:
    """A copy whose convolutions see inputs and weights, and give outputs, rounded to ``dtype``; the rest is float32.

    That is what a faithful backend computes in half precision, which adds up in float32 and keeps flows, warps and the
    mean there.
    """
    rounded = copy.deepcopy(model)
    for module in rounded.modules():
        if not isinstance(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            continue
        with torch.no_grad():
            module.weight.copy_(module.weight.to(dtype))
        module.register_forward_pre_hook(lambda _, inputs: (inputs[0].to(dtype).float(),))
        if isinstance(module, torch.nn.Conv2d):  # a transposed one gives flows
            module.register_forward_hook(lambda *call: call[-1].to(dtype).float())
    return rounded


@torch.inference_mode()
def median_flow(model: IFRNet, img0: torch.Tensor, img1: torch.Tensor, t: torch.Tensor, scale: float) -> float:
    """Median length of the flow towards frame 0, in pixels of the frame."""
    multiple = size_multiple(scale)
    pad = (0, -img0.shape[3] % multiple, 0, -img0.shape[2] % multiple)
    mean = pair_mean(img0, img1)
    img0, img1 = (F.pad(img - mean, pad, mode="replicate") for img in (img0, img1))
    if scale != 1.0:
        img0, img1 = resize(img0, scale), resize(img1, scale)
    estimate = model.estimate(img0, img1, t)
    return float(estimate.flows0[0].norm(dim=1).median()) / scale


def verification_sizes(sizes: SizeRange) -> tuple[Size, ...]:
    """The static size, or two of a dynamic artifact that were not traced, one of them odd."""
    if sizes.is_static:
        return (sizes.typical,)
    low, high = sizes.minimum, sizes.maximum
    inside = filter(sizes.holds, DYNAMIC_SIZES)
    # Further in on one axis than on the other: a graph that swaps the sides of a square would not show.
    inner = Size(low.width + (high.width - low.width) // 3, low.height + (high.height - low.height) // 5)
    return tuple(dict.fromkeys((*inside, inner, sizes.typical, low)))[:2]


def verify(
    artifact: Artifact, reference: Reference, tolerance: Tolerance, *, extra_devices: Sequence[str] = ()
) -> tuple[DeviceParity, ...]:
    """Compare an artifact with the reference on every device of its backend, and of those that run it as well.

    Args:
        artifact: the files, before or after they got their name.
        reference: PyTorch's outputs.
        tolerance: what the target allows.
        extra_devices: software devices to run on as well; the real ones always are.

    Returns:
        One record for each device, with the verdict ``not run`` and the reason where it could not run; or one on the
        saved file, where the backend is missing and :data:`FILES` knows the format.
    """
    module = backend(artifact.manifest.backend)
    if (reason := module.missing()) and module.ABOUT.name in FILES:
        return (_check_file(artifact, reference, tolerance, reason),)
    if reason:
        return (DeviceParity(device=module.DEFAULT_DEVICE, verdict=Verdict.NOT_RUN, reason=reason),)
    devices = [*module.devices(), *_other_devices(artifact, extra_devices)]
    return tuple(_verify_on(device, artifact, reference, tolerance, extra_devices) for device in devices)


def _check_file(artifact: Artifact, reference: Reference, tolerance: Tolerance, reason: str) -> DeviceParity:
    """Hold what a saved file means against the reference: ``file checked`` is the best that comes of it."""
    record = DeviceParity(device=SAVED_FILE, verdict=Verdict.FAILED)
    try:
        with FILES[artifact.manifest.backend](artifact) as runtime:
            record = judge(runtime, reference, tolerance)
    except BackendError as error:
        return replace(record, reason=str(error))
    if record.verdict is not Verdict.PASSED:
        return record
    how = f"the saved file was read back and computed operation by operation, no device ran it ({reason})"
    return replace(record, verdict=Verdict.CHECKED, reason="; ".join(filter(None, (how, record.reason))))


def _other_devices(artifact: Artifact, extra_devices: Sequence[str]) -> Iterator[Device]:
    """Those of other backends that run the artifact, where they can: nobody misses a backend that was not asked for."""
    for module in runners(artifact.manifest.backend)[1:]:
        for device in () if module.missing() else module.devices():
            if not device.reason and (not device.software or device.name in extra_devices):
                yield device


def _verify_on(
    device: Device, artifact: Artifact, reference: Reference, tolerance: Tolerance, extra_devices: Sequence[str]
) -> DeviceParity:
    reason = device.reason or ("" if device.name in extra_devices else _unasked(device, artifact.manifest.sizes))
    record = DeviceParity(device=device.name, verdict=Verdict.NOT_RUN, reason=reason)
    if reason:
        return record
    try:
        module = runner(artifact.manifest.backend, device.name)
        record = replace(record, machine=Machine.here(module.ABOUT, device))
        with module.open_runtime(artifact, device.name, Tuning()) as runtime:
            judged = judge(runtime, reference, tolerance, together=not device.emulates)
            return _emulated(device, replace(judged, machine=record.machine))
    except (DeviceMismatchError, DeviceUnavailableError) as error:
        return replace(record, reason=str(error))
    except BackendError as error:
        return replace(record, verdict=Verdict.FAILED, reason=str(error))


def _unasked(device: Device, sizes: SizeRange) -> str:
    """Why a device is left out that nobody asked for; empty where it is not."""
    ask = f"ask for it with --verify-device {device.name}"
    if device.emulates:
        largest = max(size.width * size.height for size in verification_sizes(sizes))
        return "" if largest <= EMULATED_PIXELS else f"emulating frames of {sizes} takes many minutes: {ask}"
    return f"{device.description} is a software driver: {ask}" if device.software else ""


def _emulated(device: Device, record: DeviceParity) -> DeviceParity:
    """What passed on an emulation is said to be that; other records stay."""
    if not device.emulates or record.verdict is not Verdict.PASSED:
        return record
    how = f"{device.description} ran the files, no {device.emulates} did"
    return replace(record, verdict=Verdict.EMULATED, reason="; ".join(filter(None, (how, record.reason))))


def judge(runtime: Runtime, reference: Reference, tolerance: Tolerance, *, together: bool = True) -> DeviceParity:
    """Run a loaded artifact on the parity frames and hold the errors against the tolerance.

    Each t is asked for alone, and then all of them at once, for which runtimes encode the pair once (``together``). The
    tolerance gives way where rounding moves PyTorch itself as far (:data:`MARGIN`), and the record says so.
    """
    results, troubles, notes = [], [], []
    dtype = ROUNDINGS.get(runtime.spec.precision)
    exact = runtime.spec.precision is Precision.FP32
    for size in verification_sizes(runtime.spec.sizes):
        cases = reference.cases(size)
        for how, (case, output) in (
            *(("", item) for item in _one_by_one(runtime, cases)),
            *((" of several at once", item) for item in _at_once(runtime, cases if together else ())),
        ):
            found = compare(output, case.expected)
            if not how:
                results.append(ParityResult(size=size, t=case.t, median_flow=case.median_flow, **vars(found)))
            if found.max_error <= tolerance.max_error and found.psnr >= tolerance.psnr:
                continue
            trouble = (
                f"at {size}, t = {case.t}{how}: max error {found.max_error:.2g} (limit {tolerance.max_error:g}) at "
                f"{found.worst[:2]}, PSNR {found.psnr:.1f} dB (limit {tolerance.psnr:g})"
            )
            own = compare(reference.rounded(case, dtype), case.expected) if dtype else None
            if own is not None and not math.isfinite(own.max_error):
                trouble += (
                    f"; these weights overflow in {runtime.spec.precision}, in which PyTorch itself gives no frame: "
                    "export them in bf16 or fp32"
                )
            elif own is not None:
                trouble += f"; {runtime.spec.precision} moves PyTorch itself by {own.max_error:.2g}, {own.psnr:.1f} dB"
            if own is None or not _excused(found, own, tolerance.psnr if exact else FLOOR):
                troubles.append(trouble)
            elif not how:
                notes.append(f"these weights are sensitive {trouble}")
    return DeviceParity(
        device=runtime.spec.device,
        verdict=Verdict.FAILED if troubles else Verdict.PASSED,
        reason="; ".join(troubles or notes),
        arithmetic=runtime.spec.arithmetic,
        max_error_limit=tolerance.max_error,
        psnr_limit=tolerance.psnr,
        results=tuple(results),
    )


def _excused(found: Comparison, own: Comparison, floor: float) -> bool:
    """Whether an error is no larger than rounding explains; what overflows explains nothing."""
    if not math.isfinite(own.max_error):
        return False
    return found.psnr >= max(floor, own.psnr - MARGIN) and found.max_error <= MARGIN_OF_PIXELS * own.max_error


Output = tuple[Case, NDArray[np.float32]]


def _one_by_one(runtime: Runtime, cases: Sequence[Case]) -> Iterator[Output]:
    for case in cases:
        yield case, runtime.infer(case.img0, case.img1, np.full((1, 1, 1, 1), case.t, np.float32))


def _at_once(runtime: Runtime, cases: Sequence[Case]) -> Iterator[Output]:
    """Nothing where there is only one t."""
    if len(cases) > 1:
        t = np.array([case.t for case in cases], np.float32).reshape(-1, 1, 1, 1)
        outputs = runtime.infer(cases[0].img0, cases[0].img1, t)
        yield from ((case, outputs[i : i + 1]) for i, case in enumerate(cases))


def overall(records: Sequence[DeviceParity]) -> Verdict:
    """Failed if it failed anywhere, passed if it passed somewhere, emulated or checked if that is all, else not run."""
    verdicts = {record.verdict for record in records}
    for verdict in (Verdict.FAILED, Verdict.PASSED, Verdict.EMULATED, Verdict.CHECKED):
        if verdict in verdicts:
            return verdict
    return Verdict.NOT_RUN


def worst(records: Sequence[DeviceParity]) -> dict[str, Any]:
    """Largest error and smallest PSNR over all comparisons that ran; empty when none did."""
    results = [result for record in records for result in record.results]
    if not results:
        return {}
    return {"max_error": max(r.max_error for r in results), "psnr": min(r.psnr for r in results)}
