"""Run as a process of its own: one ONNX file to one MNN file, through MNN's C extensions.

MNN's converter prints a page, and ends the process on what it does not like. Its Python packages (``MNN.tools``,
``mnnconvert``) report to a server and install packages; they are not imported, and nothing of this project is.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

OPTIONS = {"float32": [], "float16": ["--fp16"], "int8": ["--weightQuantBits", "8", "--weightQuantAsymmetric", "true"]}
"""How weights are stored -> options of MNN's converter.

With integers around zero (its default) the built-in weights lose 0.131 dB on held-aside frames at 1280x720, with a zero
for each output channel 0.011 dB; blocks of 32 inputs with a scale each change nothing.
"""


def convert(model: Path, weights: str, folder: Path) -> None:
    """Write three files into ``folder``.

    ``model.mnn``, ``model.json`` with what MNN reads back from it, and ``rounded.json`` with the names of constants (of
    sampling positions and the like; weights are none) that are not what they were in float32.
    """
    raw = _converted(model, weights, folder)
    exact = raw if weights == "float32" else _converted(model, "float32", folder)
    result = folder / "model.mnn"
    _save(raw, result, exact)
    (folder / "rounded.json").write_text(json.dumps(_rounded(result, exact)), encoding="utf-8")
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


def _save(raw: Path, result: Path, exact: Path) -> None:
    """Write a network again, without the random identifier that the converter gives it.

    Args:
        raw: what the converter made.
        result: the file to write.
        exact: the same network with its constants in float32. The converter's ``--fp16`` rounds all of them, sampling
            positions and the mean's divisor as well: 57.7 instead of 125.9 dB with weights that float16 holds exactly.
    """
    import _mnncengine

    values = _mnncengine._expr.load_as_dict(str(raw))
    if exact != raw:
        for name, value in _constants(exact).items():
            values[name].replace(value)
    _mnncengine._expr.save([values["imgt"]], str(result))


def _rounded(result: Path, exact: Path) -> list[str]:
    """Constants of a saved file that differ from those of the float32 one."""
    found = _constants(result)
    return [
        name
        for name, value in _constants(exact).items()
        if name not in found or (value.read() != found[name].read()).any()
    ]


def _constants(path: Path) -> dict[str, Any]:
    import _mnncengine

    values = _mnncengine._expr.load_as_dict(str(path))
    return {name: value for name, value in values.items() if value.op_type == "Const"}


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
