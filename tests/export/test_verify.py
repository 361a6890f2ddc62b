"""The gate itself: what it lets pass, what it fails, and where it looks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import export.verify
from export.declarations import Tolerance
from export.errors import ExportError
from export.parity_frames import moving_pair
from export.verify import (
    ROUNDINGS,
    Reference,
    judge,
    median_flow,
    overall,
    round_convolutions,
    verification_sizes,
    verify,
    worst,
)
from ifrnet import interpolate, random_model
from runtimes.artifact import Artifact, DeviceParity, Manifest
from runtimes.base import Halves, Runtime
from runtimes.compare import compare
from runtimes.contract import Precision, Size, SizeRange, Timesteps, Verdict
from runtimes.device import Device
from runtimes.errors import BackendError, DeviceMismatchError
from runtimes.registry import backend

TOLERANCE = Tolerance(max_error=2e-4, psnr=80.0, block_error=2e-5, block_roundings=0.0, reason="a test")

Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Faithful(Runtime):
    """Answers what the reference says, after a change."""

    def __init__(self, reference: Reference, change: Change = lambda x: x) -> None:
        manifest = Manifest(
            name="m",
            target="onnx",
            backend="onnxruntime",
            variant="ifrnet_s",
            checkpoint={},
            timesteps=Timesteps.ANY,
            precision=Precision.FP32,
            sizes=SizeRange.static(Size(64, 48)),
            scale=1.0,
            rewrites=(),
            tools={},
            details={},
            files={},
        )
        super().__init__(manifest, backend="onnxruntime", device="cpu", arithmetic="fp32")
        self._cases = reference.cases(Size(64, 48))
        self._change = change

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Any:
        (case,) = (case for case in self._cases if case.t == t.item())
        return self._change(case.expected.copy())


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(random_model("ifrnet_s"), Timesteps.ANY, 1.0)


def test_a_faithful_runtime_passes(reference: Reference) -> None:
    record = judge(Faithful(reference), reference, TOLERANCE)
    assert record.verdict is Verdict.PASSED
    assert record.reason == ""
    assert (record.device, record.arithmetic) == ("cpu", "fp32")
    assert (record.max_error_limit, record.psnr_limit) == (2e-4, 80.0)
    assert [result.t for result in record.results] == [0.25, 0.5]
    assert all(result.max_error == 0.0 and result.psnr == math.inf for result in record.results)
    assert all(result.median_flow > 8.0 for result in record.results)


class OnlyAtOnce(Faithful):
    """Wrong where several t are asked for, and nowhere else."""

    def _cut(self) -> Halves:
        return self

    def encode(self, img0: NDArray[np.float32], img1: NDArray[np.float32]) -> Any:
        return img0, img1

    def decode(self, encoded: Any, t: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
        return np.asarray(self._infer(encoded[0], encoded[1], t) + np.float32(1e-3))


def test_several_times_at_once_are_held_to_the_same_limits(reference: Reference) -> None:
    record = judge(OnlyAtOnce(reference), reference, TOLERANCE)
    assert record.verdict is Verdict.FAILED
    assert "t = 0.25 of several at once" in record.reason


def one_pixel(x: NDArray[np.float32]) -> NDArray[np.float32]:
    x[0, 1, 20, 30] += 3e-4
    return x


def nan(x: NDArray[np.float32]) -> NDArray[np.float32]:
    x[0, 0, 0, 0] = np.nan
    return x


@pytest.mark.parametrize(
    "change", [one_pixel, lambda x: x * 1.001, lambda x: np.roll(x, 1, 2), lambda x: x + 1.5e-4, np.zeros_like]
)
def test_an_unfaithful_one_fails(reference: Reference, change: Change) -> None:
    record = judge(Faithful(reference, change), reference, TOLERANCE)
    assert record.verdict is Verdict.FAILED
    assert "at 64x48, t = 0.25: max error" in record.reason
    assert "limit 0.0002" in record.reason


def test_psnr_alone_can_fail(reference: Reference) -> None:
    record = judge(Faithful(reference, lambda x: x + 1e-3), reference, replace(TOLERANCE, max_error=1.0))
    assert record.verdict is Verdict.FAILED
    assert "PSNR 60.0 dB (limit 80)" in record.reason


STRICT = replace(TOLERANCE, max_error=1e-6, psnr=120.0)


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.BF16])
def test_half_precision_may_be_as_far_off_as_the_rounded_network(reference: Reference, precision: Precision) -> None:
    dtype = ROUNDINGS[precision]
    (first, second) = reference.cases(Size(64, 48))
    own = [compare(reference.rounded(case, dtype), case.expected) for case in (first, second)]
    assert all(1e-4 < found.max_error < 0.1 and found.psnr < 100.0 for found in own)

    def runtime(share: float) -> Faithful:
        """Off by a share of what the rounded network is, in the same places."""
        model = round_convolutions(random_model("ifrnet_s"), dtype)

        def change(expected: NDArray[np.float32]) -> NDArray[np.float32]:
            case = next(case for case in (first, second) if np.array_equal(case.expected, expected))
            img0, img1, t = torch.from_numpy(case.img0), torch.from_numpy(case.img1), torch.full((1, 1, 1, 1), case.t)
            with torch.inference_mode():
                rounded = interpolate(model, img0, img1, t).numpy()
            return expected + np.float32(share) * (rounded - expected)

        faithful = Faithful(reference, change)
        faithful.spec = replace(faithful.spec, precision=precision)
        return faithful

    record = judge(runtime(1.5), reference, STRICT)
    assert record.verdict is Verdict.PASSED
    assert "these weights are sensitive at 64x48, t = 0.25" in record.reason
    assert f"{precision} moves PyTorch itself by" in record.reason
    worse = judge(runtime(2.5), reference, STRICT)
    assert worse.verdict is Verdict.FAILED
    assert f"{precision} moves PyTorch itself by" in worse.reason


def test_half_precision_that_overflows_excuses_nothing() -> None:
    model = random_model("ifrnet_s")
    convolution = model.get_submodule("encoder.pyramid4.1.0")
    for parameter in convolution.parameters():
        parameter.mul_(1e6)
    model.get_submodule("decoder4.convblock.0.0").get_parameter("weight")[:, :-1].div_(1e6)  # the same function
    reference = Reference(model, Timesteps.ANY, 1.0)
    for precision, verdict in ((Precision.FP16, Verdict.FAILED), (Precision.BF16, Verdict.PASSED)):
        runtime = Faithful(reference, lambda x: x + np.float32(1e-4))
        runtime.spec = replace(runtime.spec, precision=precision)
        record = judge(runtime, reference, STRICT)
        assert record.verdict is verdict
        told = "these weights overflow in fp16, in which PyTorch itself gives no frame: export them in bf16 or fp32"
        assert (told in record.reason) == (verdict is Verdict.FAILED)


def test_float32_is_held_against_float64(reference: Reference) -> None:
    record = judge(Faithful(reference, lambda x: x + np.float32(1e-5)), reference, STRICT)
    assert record.verdict is Verdict.FAILED
    assert "fp32 moves PyTorch itself by" in record.reason  # by far less


def test_rounding_leaves_the_model_alone_and_rounds_weights_and_activations() -> None:
    model = random_model("ifrnet_s")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rounded = round_convolutions(model, torch.bfloat16)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    first = rounded.get_submodule("encoder.pyramid1.0.0")
    seen = [first.get_parameter("weight")]
    first.register_forward_hook(lambda module, inputs, output: seen.extend((*inputs, output)))
    img0, img1 = (torch.from_numpy(frame) for frame in moving_pair(Size(64, 48)))
    interpolate(rounded, img0, img1, torch.full((1, 1, 1, 1), 0.5))
    assert all(torch.equal(x, x.bfloat16().float()) for x in seen)


def test_a_middle_checkpoint_is_compared_at_the_middle() -> None:
    cases = Reference(random_model("ifrnet_s"), Timesteps.MIDDLE, 1.0).cases(Size(64, 48))
    assert [case.t for case in cases] == [0.5]


def test_weights_that_diverged_are_blamed_themselves() -> None:
    """Each is finite, and what comes of them is not."""
    model = random_model("ifrnet_s")
    for parameter in model.parameters():
        parameter.mul_(1e30)
    with pytest.raises(ExportError, match=r"PyTorch itself gives values that are not finite .*\(64x48, t = 0\.25\)"):
        Reference(model, Timesteps.ANY, 1.0).cases(Size(64, 48))


def test_weights_that_clamp_the_frame_prove_nothing() -> None:
    """Any artifact would agree with such frames, to infinitely many decibels."""
    model = random_model("ifrnet_s")
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.mul_(2.0)
    with pytest.raises(ExportError, match=r"of which \d+% is clamped to 0 or 1 .*expected at most 50%"):
        Reference(model, Timesteps.ANY, 1.0).cases(Size(64, 48))


def test_the_scale_does_not_change_the_unit_of_flow() -> None:
    model = random_model("ifrnet_s")
    img0, img1 = (torch.from_numpy(frame) for frame in moving_pair(Size(128, 96)))
    t = torch.full((1, 1, 1, 1), 0.5)
    flows = [median_flow(model, img0, img1, t, scale) for scale in (1.0, 0.5)]
    assert flows[1] == pytest.approx(2.0 * flows[0], rel=0.2)  # these weights flow by so much whatever the size


@pytest.mark.parametrize(
    ("low", "typical", "high", "expected"),
    [
        ("160x96", "160x96", "160x96", ["160x96"]),
        ("32x32", "1280x720", "4096x4096", ["333x251", "640x352"]),
        ("32x32", "160x96", "400x300", ["333x251", "154x85"]),
        ("32x32", "64x64", "128x128", ["64x51", "64x64"]),
        ("1280x720", "1280x720", "1920x1080", ["1493x792", "1280x720"]),
        ("640x360", "1280x720", "1920x1080", ["1066x504", "1280x720"]),
    ],
)
def test_where_an_artifact_is_compared(low: str, typical: str, high: str, expected: list[str]) -> None:
    sizes = SizeRange(minimum=Size.parse(low), typical=Size.parse(typical), maximum=Size.parse(high))
    assert [str(size) for size in verification_sizes(sizes)] == expected


def records(*verdicts: Verdict) -> list[DeviceParity]:
    return [DeviceParity(device=str(i), verdict=verdict) for i, verdict in enumerate(verdicts)]


def test_one_failure_is_a_failure() -> None:
    passed, failed, not_run = Verdict.PASSED, Verdict.FAILED, Verdict.NOT_RUN
    assert overall(records(passed, failed, not_run)) is failed
    assert overall(records(not_run, passed)) is passed
    assert overall(records(not_run, not_run)) is not_run
    assert overall([]) is not_run


def test_the_worst_of_all_comparisons(reference: Reference) -> None:
    bad = judge(Faithful(reference, one_pixel), reference, TOLERANCE)
    good = judge(Faithful(reference), reference, TOLERANCE)
    assert worst([good, bad])["max_error"] == pytest.approx(3e-4, rel=1e-3)
    assert worst([good, bad])["psnr"] < 120.0
    assert worst(records(Verdict.NOT_RUN)) == {}


class Backend:
    """Three devices: one that works, one that is missing, one that is a software driver."""

    ABOUT = backend("onnxruntime").ABOUT
    DEFAULT_DEVICE = "cpu"

    def __init__(self, open_runtime: Callable[..., Runtime], reason: str = "", last: Device | None = None) -> None:
        self.open_runtime, self.reason = open_runtime, reason
        self.last = last or Device(name="vulkan:0", description="llvmpipe", software=True)

    def missing(self) -> str:
        return self.reason

    def devices(self) -> list[Device]:
        return [
            Device(name="cpu"),
            Device(name="cuda:0", reason="no GPU"),
            self.last,
        ]


def verified(
    monkeypatch: pytest.MonkeyPatch, reference: Reference, module: Backend, *extra: str
) -> tuple[DeviceParity, ...]:
    monkeypatch.setattr(export.verify, "backend", lambda name: module)
    monkeypatch.setattr(export.verify, "runner", lambda name, device: module)
    monkeypatch.setattr(export.verify, "runners", lambda name: (module,))
    runtime = Faithful(reference)
    return verify(Artifact(Path(), runtime.manifest, {}), reference, TOLERANCE, extra_devices=extra)


def test_values_that_are_not_finite_fail(monkeypatch: pytest.MonkeyPatch, reference: Reference) -> None:
    record, *_ = verified(monkeypatch, reference, Backend(lambda *_: Faithful(reference, nan)))
    assert record.verdict is Verdict.FAILED
    assert "gave values that are not finite on cpu" in record.reason


def test_every_device_gets_a_verdict(monkeypatch: pytest.MonkeyPatch, reference: Reference) -> None:
    found = verified(monkeypatch, reference, Backend(lambda *_: Faithful(reference)))
    assert [record.verdict for record in found] == [Verdict.PASSED, Verdict.NOT_RUN, Verdict.NOT_RUN]
    assert found[1].reason == "no GPU"
    assert "llvmpipe is a software driver: ask for it with --verify-device vulkan:0" in found[2].reason


def test_software_devices_run_when_asked_for(monkeypatch: pytest.MonkeyPatch, reference: Reference) -> None:
    found = verified(monkeypatch, reference, Backend(lambda *_: Faithful(reference)), "vulkan:0")
    assert [record.verdict for record in found] == [Verdict.PASSED, Verdict.NOT_RUN, Verdict.PASSED]


EMULATION = Device(name="emulator", description="an emulation of the NPU", software=True, emulates="NPU")


def test_what_passes_in_an_emulation_is_said_to_be_that(monkeypatch: pytest.MonkeyPatch, reference: Reference) -> None:
    record = verified(monkeypatch, reference, Backend(lambda *_: Faithful(reference), last=EMULATION))[2]
    assert (record.verdict, record.reason) == (Verdict.EMULATED, "an emulation of the NPU ran the files, no NPU did")
    assert overall([record]) is Verdict.EMULATED
    assert overall([*records(Verdict.PASSED), record]) is Verdict.PASSED
    wrong = verified(monkeypatch, reference, Backend(lambda *_: Faithful(reference, nan), last=EMULATION))[2]
    assert wrong.verdict is Verdict.FAILED


def test_frames_that_take_too_long_are_emulated_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, reference: Reference
) -> None:
    monkeypatch.setattr(export.verify, "EMULATED_PIXELS", 10)
    module = Backend(lambda *_: Faithful(reference), last=EMULATION)
    record = verified(monkeypatch, reference, module)[2]
    assert record.verdict is Verdict.NOT_RUN
    assert "takes many minutes: ask for it with --verify-device emulator" in record.reason
    assert verified(monkeypatch, reference, module, "emulator")[2].verdict is Verdict.EMULATED


@pytest.mark.parametrize(("error", "verdict"), [(DeviceMismatchError, Verdict.NOT_RUN), (BackendError, Verdict.FAILED)])
def test_an_artifact_that_does_not_load(
    monkeypatch: pytest.MonkeyPatch, reference: Reference, error: type[Exception], verdict: Verdict
) -> None:
    """ExportPerSize for another GPU it was not run; refused by its own runtime it failed."""

    def refuse(*_: object) -> Runtime:
        raise error("why")

    (record, *_) = verified(monkeypatch, reference, Backend(refuse))
    assert (record.verdict, record.reason) == (verdict, "why")


def test_an_artifact_that_breaks_while_running_failed(monkeypatch: pytest.MonkeyPatch, reference: Reference) -> None:
    def breaks(x: NDArray[np.float32]) -> NDArray[np.float32]:
        raise BackendError("out of memory")

    (record, *_) = verified(monkeypatch, reference, Backend(lambda *_: Faithful(reference, breaks)))
    assert (record.verdict, record.reason) == (Verdict.FAILED, "out of memory")


def test_without_the_backend_nothing_ran(monkeypatch: pytest.MonkeyPatch, reference: Reference) -> None:
    (record,) = verified(monkeypatch, reference, Backend(lambda *_: Faithful(reference), "not installed"))
    assert (record.verdict, record.reason) == (Verdict.NOT_RUN, "not installed")
