"""What the user asks for, frozen: everything past the command line reads it from here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from export.qnn_socs import DEFAULT_SOC
from runtimes.contract import Precision, Size, SizeRange

DEFAULT_SIZE = Size(1280, 720)
DYNAMIC_RANGE = SizeRange(minimum=Size(32, 32), typical=DEFAULT_SIZE, maximum=Size(4096, 4096))


class Delegate(StrEnum):
    """What runs the network within ExecuTorch."""

    XNNPACK = "xnnpack"
    VULKAN = "vulkan"


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """One run of ``python -m export``.

    Attributes:
        targets: names of ``export.targets.TARGETS``, in order.
        precisions: each is built for every target.
        model: built-in name, checkpoint path, or ``random:VARIANT`` for speed measurements without weights.
        weights: which network of a checkpoint that holds several.
        sizes: the frame size, or the range of a dynamic artifact, in pixels.
        scale: the network runs on frames resized by this.
        out: folder that receives one folder an artifact.
        force: replace artifacts that exist.
        compute_capabilities: of NVIDIA GPUs, for example ``("86", "89")``; empty takes the builder's default.
        calibration: scales of INT8 made by ``python -m calibration``; None takes those shipped for the model.
        max_drop: dB that INT8 may lose on held-aside frames.
        ios: oldest iOS that shall load an artifact of Core ML; its macOS is three versions behind up to 18.
        ort: whether target onnx writes the ``.ort`` file of ONNX Runtime Mobile and Web in place of the ONNX.
        delegate: of target executorch.
        soc: the chip that an artifact of Qualcomm's NPU is for, a name of ``export.qnn_socs.SOCS``.
        verify_devices: devices to verify on besides the default ones (software Vulkan is slow and opt-in).
    """

    targets: tuple[str, ...]
    precisions: tuple[Precision, ...] = (Precision.FP32,)
    model: str = "ifrnet_s"
    weights: str | None = None
    sizes: SizeRange = SizeRange.static(DEFAULT_SIZE)
    scale: float = 1.0
    out: Path = Path("artifacts")
    force: bool = False
    compute_capabilities: tuple[str, ...] = ()
    calibration: Path | None = None
    max_drop: float = 0.1
    ios: int = 16
    ort: bool = False
    delegate: Delegate = Delegate.XNNPACK
    soc: str = DEFAULT_SOC
    verify_devices: tuple[str, ...] = ()

    def artifact_name(self, model: str, target: str, precision: Precision) -> str:
        """The folder of an artifact: ``<model>-<target>-<precision>-<size>``, with the scale when it is not 1.

        One of target onnx with ``ort`` ends in ``-ort``, one of executorch for Vulkan in ``-vulkan``: all files of a
        network have room side by side.
        """
        size = str(self.sizes) if self.sizes.is_static else "dynamic"
        scale = "" if self.scale == 1.0 else f"-scale{self.scale:g}"
        form = "-ort" if self.ort and target == "onnx" else ""
        if target == "executorch" and self.delegate is not Delegate.XNNPACK:
            form = f"-{self.delegate}"
        return f"{model}-{target}-{precision}-{size}{scale}{form}"
