"""ncnn's options that an artifact states, so that every program that runs it sets the same ones.

ncnn takes precision from options of the app, for the whole network. What a precision needs stands in the artifact's
manifest, in ``details.options``: an object of names of ``ncnn::Option`` with true or false. A host sets them before it
loads the network; it takes no other names, since these change numbers and speed and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtimes.artifact import Manifest
from runtimes.contract import Precision
from runtimes.errors import ArtifactError

DETAIL = "options"
"""Key in the manifest's details."""

NAMES = (
    "use_winograd_convolution",
    "use_winograd23_convolution",
    "use_winograd43_convolution",
    "use_winograd63_convolution",
    "use_sgemm_convolution",
    "use_fp16_arithmetic",
    "use_fp16_storage",
    "use_fp16_packed",
    "use_bf16_storage",
    "use_bf16_packed",
    "use_int8_inference",
    "use_packing_layout",
)
"""What an artifact may set."""

HALF = ("use_fp16_packed", "use_fp16_storage")
"""Values are stored in half precision and added up in float32.

With sums in half precision too (``use_fp16_arithmetic``) the proof has 2 to 4 dB to spare on ARM64 (61.9 dB at
256x160, 63.7 at 320x180, under qemu) and fails on Vulkan at 1280x720 (59.3 dB, Mesa); with sums in float32 73 dB there.
"""

BFLOAT = ("use_bf16_packed", "use_bf16_storage")


def options_of(precision: Precision) -> dict[str, bool]:
    """What a precision needs; also what is set for an artifact that states nothing, as older ones do."""
    options = {
        **dict.fromkeys(HALF, precision is Precision.FP16),
        "use_fp16_arithmetic": False,
        **dict.fromkeys(BFLOAT, precision is Precision.BF16),
    }
    return {**options, "use_int8_inference": True} if precision is Precision.INT8 else options


def stated_options(manifest: Manifest) -> Mapping[str, bool]:
    """What to set for an artifact.

    Raises:
        ArtifactError: a name that is not of :data:`NAMES`, a value that is none, or ``use_int8_inference`` off: ncnn
            would read int8 weights, which an artifact of any precision may hold, as float32, beyond their end.
    """
    stated: Any = manifest.details.get(DETAIL, options_of(manifest.precision))
    if not isinstance(stated, Mapping):
        raise ArtifactError(f"{manifest.name}: details.{DETAIL} is no object: export it again")
    for name, value in stated.items():
        if name not in NAMES or not isinstance(value, bool):
            raise ArtifactError(
                f"{manifest.name}: details.{DETAIL} has {str(name)[:40]!r}: {str(value)[:20]!r}; expected true or "
                f"false for some of {', '.join(NAMES)}: export it again"
            )
    if not stated.get("use_int8_inference", True):
        raise ArtifactError(
            f"{manifest.name}: details.{DETAIL} has use_int8_inference: false, with which ncnn reads int8 weights as "
            "float32, beyond their end; expected true or nothing: export it again"
        )
    return {str(name): value for name, value in stated.items()}
