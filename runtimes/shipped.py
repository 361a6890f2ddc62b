"""The artifacts that come with this package: the built-in network for any frame size, and which one is preferred."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runtimes.contract import Precision, Size

FOLDER = Path(__file__).absolute().parent / "artifacts"
"""Where they are. As the artifact of a command it stands for the first of :data:`PREFERENCE` that is proved here."""

MODEL = "ifrnet_s"


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """One artifact that comes with this package, made by ``python -m export ship``.

    Attributes:
        target: of ``python -m export``.
        precision: what it is built for.
        remark: what the user gains or loses by it.
        beyond: how to get a faster or a better one; ``{size}`` stands for that of the frames, ``{folder}`` for
            :data:`FOLDER`.
    """

    target: str
    precision: Precision
    remark: str
    beyond: str

    @property
    def name(self) -> str:
        """Of the artifact, and of its folder in :data:`FOLDER`."""
        return f"{MODEL}-{self.target}-{self.precision}-dynamic"

    @property
    def folder(self) -> Path:
        """Where it is in this installation."""
        return FOLDER / self.name

    def advice(self, size: Size) -> str:
        """How to get a faster or a better one for frames of ``size``."""
        return self.beyond.format(size=size, folder=FOLDER)


# Fastest first. Measured in turn at 640x360 on two cores of an AMD EPYC with AVX512_VNNI, medians of 9: OpenVINO int8
# 108 ms (4.1 MB), OpenVINO fp16 163 ms (6.5 MB), ONNX with weights in half 253 ms (6.1 MB). For one size alone int8
# takes 57 ms, its other layers in bf16. OpenVINO fp16 is there for processors on which int8 fails its proof, and for
# whoever wants PyTorch's own picture (125 dB). The ONNX is the form for browsers, which stores weights in half and
# computes in float32: half the size of fp32. No int8 for ONNX Runtime: OpenVINO's is faster there. Together 16.7 MB. An
# artifact of ncnn takes one size (12 MB each): none serves any video.
PREFERENCE = (
    Shipped(
        target="openvino",
        precision=Precision.INT8,
        remark="the fastest here; int8 loses 0.02 dB on held-aside footage",
        beyond="faster, for this size alone: python -m export --target openvino --int8 --size {size}; closer to "
        "PyTorch: --artifact {folder}/ifrnet_s-openvino-fp16-dynamic",
    ),
    Shipped(
        target="openvino",
        precision=Precision.FP16,
        remark="as PyTorch computes it",
        beyond="faster on processors with bf16, for this size alone: python -m export --target openvino --bf16 --size "
        "{size}",
    ),
    Shipped(
        target="web",
        precision=Precision.FP16,
        remark="as PyTorch computes it, in a browser too",
        beyond="faster: pip install 'ifrnet-export[openvino]', and this command takes the int8 form of OpenVINO",
    ),
)
"""What ships, in the order in which it is tried where the user names no artifact."""


def shipped_at(folder: Path) -> Shipped | None:
    """The shipped artifact that a folder is; None for a folder of the user's."""
    return next((item for item in PREFERENCE if item.folder == folder.absolute()), None)
