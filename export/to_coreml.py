"""Target ``coreml``: an ML program for iOS and macOS, from ``torch.export``."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.declarations import FP16_TOLERANCE, FP32_TOLERANCE, Compiled, Requirements, first_missing
from export.errors import ExportError
from export.options import ExportOptions
from runtimes.contract import INPUT_NAMES, OUTPUT_NAME, Precision
from runtimes.printable import MAX_REASON, one_line

if TYPE_CHECKING:
    from export.source import Source

REQUIRES: Requirements = {"coremltools": "coreml"}
"""coremltools converts, and knows the format for reading back; on Linux too."""

BACKEND = "coreml"

TOLERANCES = {Precision.FP32: FP32_TOLERANCE, Precision.FP16: FP16_TOLERANCE}

LACKING = {
    Precision.BF16: "Core ML has no bfloat16",
    Precision.INT8: "its 8-bit activations, which begin with iOS 17, were never tried with scales of calibration",
}

PACKAGE = "model.mlpackage"

FIRST_IOS = 15
"""ML programs begin with it, and so does ``resample``, which the warps become."""

AUTHOR = "IFRNet by Lingtong Kong et al. (CVPR 2022), exported by ifrnet-export"

LICENCE = "MIT for the network's form; the weights have the licence of their checkpoint"

ABOUT = "Video frame interpolation: the frame at time t between two frames."

INPUTS = {
    "img0": "The frame before: RGB in [0, 1], planes of rows, at the frame's true size.",
    "img1": "The frame after, like img0.",
    "t": "The time between them, above 0 and below 1.",
}

OUTPUT = "The frame at time t: RGB in [0, 1], like img0."


def missing() -> str:
    """Why it cannot be built here; empty when it can."""
    if sys.platform == "win32":
        return "coremltools is made for macOS and Linux: export there"
    return first_missing(REQUIRES)


def check(options: ExportOptions) -> None:
    """One size, and a system that has the operations.

    Raises:
        ExportError: sizes are free, or the system is too old or not known to coremltools.
    """
    if not options.sizes.is_static:
        raise ExportError(
            "target coreml has no --dynamic: sampling positions are constants of its file; export one --size each"
        )
    if options.ios < FIRST_IOS:
        raise ExportError(
            f"--ios {options.ios} is too old: warps are the operation resample, which begins with iOS {FIRST_IOS}; "
            f"pass --ios {FIRST_IOS} or more"
        )


def rewrites(precision: Precision) -> tuple[str, ...]:
    """One frame after the other, as the Neural Engine wants it; the mean in steps, since nobody says how it adds up.

    ``offset_grid`` gives the sampling positions as constants and one product, which half of the operations take.
    """
    return ("split_resblock", "offset_grid", "stepped_mean")


def graph_precision(precision: Precision) -> Precision:
    """Always float32: coremltools lowers the operations that it is told, and what it wrote is read back."""
    return Precision.FP32


def compile(source: Source, folder: Path, precision: Precision, options: ExportOptions) -> Compiled:
    """Write ``model.mlpackage`` and read it back.

    Raises:
        ExportError: coremltools cannot convert the network, or knows no such iOS.
        SentinelError: the file is not what was asked for.
    """
    from export.coreml_layers import File, check_file
    from export.mil_program import read_program

    model = convert(source, precision, options.ios)
    spec, package = model.get_spec(), folder / PACKAGE
    describe(spec)
    write_package(spec, Path(model.weights_dir) / "weight.bin", package)
    data = package / "Data" / "com.apple.CoreML"
    program = read_program((data / "model.mlmodel").read_bytes(), (data / "weights" / "weight.bin").read_bytes())
    details = check_file(File(program=program, precision=precision, size=source.sizes.typical))
    return Compiled(details={"ios": options.ios, **details}, tools=("coremltools",))


def convert(source: Source, precision: Precision, ios: int) -> Any:
    """coremltools' model. Raises ExportError when it cannot be had."""
    import torch

    from export.coreml_layers import may_be_half
    from export.coremltools_quiet import quiet

    with quiet():
        import coremltools

        target = getattr(coremltools.target, f"iOS{ios}", None)
        if target is None:
            versions = [int(name[3:]) for name in dir(coremltools.target) if name.startswith("iOS")]
            known = ", ".join(str(version) for version in sorted(versions) if version >= FIRST_IOS)
            raise ExportError(f"--ios {ios} is not known to coremltools {coremltools.__version__}: it has {known}")
        # A crop of nothing at the end is an alias, which coremltools does not know (9.0).
        program = source.exported_program().run_decompositions({torch.ops.aten.alias.default: lambda x: x})
        half = coremltools.transform.FP16ComputePrecision(op_selector=may_be_half)
        try:
            return coremltools.convert(
                program,
                convert_to="mlprogram",
                minimum_deployment_target=target,
                compute_precision=half if precision is Precision.FP16 else coremltools.precision.FLOAT32,
                outputs=[coremltools.TensorType(name=OUTPUT_NAME, dtype=float)],
                skip_model_load=True,
            )
        except Exception as error:  # it raises whatever its hundred passes raise
            reason = one_line(error, MAX_REASON)
            raise ExportError(f"coremltools cannot convert the network ({type(error).__name__}: {reason})") from error


def describe(spec: Any) -> None:
    """Fill in what Xcode shows, and drop the date, so that the same export gives the same file."""
    metadata = spec.description.metadata
    metadata.author, metadata.license, metadata.shortDescription = AUTHOR, LICENCE, ABOUT
    metadata.userDefined.pop("com.github.apple.coremltools.conversion_date", None)
    texts = {**{name: INPUTS[name] for name in INPUT_NAMES}, OUTPUT_NAME: OUTPUT}
    for feature in (*spec.description.input, *spec.description.output):
        feature.shortDescription = texts[feature.name]


def write_package(spec: Any, weights: Path, package: Path) -> None:
    """Write a package as coremltools does, but the same each time: it names the items by random numbers.

    Where it opens a package it writes the list again, sorted, so it is written in that form here.
    """
    data = package / "Data" / "com.apple.CoreML"
    (data / "weights").mkdir(parents=True)
    (data / "model.mlmodel").write_bytes(spec.SerializeToString(deterministic=True))
    (data / "weights" / "weight.bin").write_bytes(weights.read_bytes())
    items = {
        name: {
            "author": "com.apple.CoreML",
            "description": description,
            "name": name,
            "path": f"com.apple.CoreML/{name}",
        }
        for name, description in (("model.mlmodel", "CoreML Model Specification"), ("weights", "CoreML Model Weights"))
    }
    identifiers = {name: str(uuid.uuid5(uuid.NAMESPACE_URL, f"com.apple.CoreML/{name}")) for name in items}
    manifest = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": {identifiers[name]: item for name, item in items.items()},
        "rootModelIdentifier": identifiers["model.mlmodel"],
    }
    (package / "Manifest.json").write_text(json.dumps(manifest, indent=4, sort_keys=True) + "\n", encoding="utf-8")
