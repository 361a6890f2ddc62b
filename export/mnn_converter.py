"""Run as a process of its own: one ONNX file to one MNN file, through MNN's C extensions.

MNN's converter prints a page, and ends the process on what it does not like. Its Python packages (``MNN.tools``,
``mnnconvert``) report to a server and install packages; they are not imported, and nothing of this project is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

OPTIONS = {"float32": [], "float16": ["--fp16"], "int8": ["--weightQuantBits", "8"]}
"""How weights are stored -> options of MNN's converter."""


def convert(model: Path, weights: str, folder: Path) -> None:
    """Write ``model.mnn`` and ``model.json``, which holds what is read back from it, into ``folder``."""
    raw = _converted(model, weights, folder)
    result = folder / "model.mnn"
    exact = _converted(model, "float32", folder) if weights == "float16" else None
    _save(raw, result, exact)
    _call("-f", "MNN", "--modelFile", str(result), "--JsonFile", str(folder / "model.json"))


def _converted(model: Path, weights: str, folder: Path) -> Path:
    """What MNN's converter makes of an ONNX file."""
    raw = folder / f"{weights}.mnn"
    _call("-f", "ONNX", "--modelFile", str(model), "--MNNModel", str(raw), *OPTIONS[weights])
    if not raw.is_file():
        raise SystemExit("MNN's converter wrote nothing")
    return raw


def _call(*arguments: str) -> None:
    import _tools

    if not _tools.mnnconvert(["mnnconvert", "--bizCode", "ifrnet", *arguments]):
        raise SystemExit("MNN's converter failed")


def _save(raw: Path, result: Path, exact: Path | None) -> None:
    """Write a network again, without the random identifier that the converter gives it.

    Args:
        raw: what the converter made.
        result: the file to write.
        exact: the same network with its constants in float32. The converter's ``--fp16`` rounds all of them, sampling
            positions and the mean's divisor as well: 57.7 instead of 125.9 dB with weights that float16 holds exactly.
    """
    import _mnncengine

    values = _mnncengine._expr.load_as_dict(str(raw))
    constants = _mnncengine._expr.load_as_dict(str(exact)) if exact else {}
    for name, value in constants.items():
        if value.op_type == "Const":
            values[name].replace(value)
    _mnncengine._expr.save([values["imgt"]], str(result))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("weights", choices=OPTIONS)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    convert(given.model, given.weights, given.folder)


if __name__ == "__main__":
    main()
