"""The small files beside checkpoints and artifacts: provenance, scales, tuning, results, verdicts, proof."""

from __future__ import annotations

import json
import random
import shutil
import warnings
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from runtimes.contract import Verdict
from runtimes.frames import Array
from tests.fuzz import artifacts
from tests.fuzz.damage import changed_json, damaged, damaged_json
from tests.fuzz.kind import RefusedError, run_command

TARGETS = ("onnx", "openvino")
KINDS = ("provenance", "scales", "tuning", "results", "verdicts", "proof")


def prepare(seeds: Path) -> None:
    """Artifacts, a checkpoint with provenance, scales, results."""
    from ifrnet.weights import CHECKPOINTS

    save_graph(seeds / "graph.onnx")
    root = Path(__file__).parents[2]
    artifacts.export_all(seeds, TARGETS)
    for suffix in (".safetensors", ".json"):
        shutil.copy(CHECKPOINTS / f"ifrnet_s{suffix}", seeds / f"model{suffix}")
    shutil.copy(root / "export" / "int8" / "scales" / "ifrnet_s.json", seeds / "scales.json")
    for name in ("latency", "throughput"):
        saved = sorted((root / "benchmarks" / "results").glob(f"*/{name}-ifrnet_s-1280x720.json"))
        shutil.copy(saved[0], seeds / f"{name}.json")


def save_graph(path: Path) -> None:
    """What INT8 scales are put into."""
    import onnx

    from export.source import Source
    from export.to_onnx import rewrites
    from ifrnet import load_model
    from runtimes.contract import Precision, SizeRange

    names = rewrites(Precision.INT8)
    source = Source(load_model("ifrnet_s"), names, Precision.FP32, sizes=SizeRange.static(artifacts.SIZE))
    onnx.save(source.onnx, path)


class Records:
    """Uses each record as the commands do that read it."""

    def __init__(self, seeds: Path) -> None:
        self._seeds = seeds
        self._kind, self._target, self._whole = KINDS[0], TARGETS[0], True

    def write(self, folder: Path, dice: random.Random | None) -> str:
        """See :class:`tests.fuzz.kind.Trial`."""
        self._whole = dice is None
        self._target = dice.choice(TARGETS) if dice else TARGETS[0]
        self._kind = dice.choice(KINDS) if dice else KINDS[0]
        writers: dict[str, Callable[[Path, random.Random | None], str]] = {
            "provenance": self._write_provenance,
            "scales": lambda folder, dice: self._write_json("scales.json", folder, dice),
            "results": self._write_results,
            "tuning": self._write_tuning,
            "verdicts": self._write_verdicts,
            "proof": self._write_proof,
        }
        return f"{self._kind}: {writers[self._kind](folder, dice)}"

    def attempt(self, folder: Path) -> str:
        """See :class:`tests.fuzz.kind.Trial`."""
        readers: dict[str, Callable[[Path], str]] = {
            "provenance": self._load_model,
            "scales": self._quantize,
            "results": self._compare,
            "tuning": self._answer,
            "verdicts": self._believe,
            "proof": self._prove,
        }
        return readers[self._kind](folder)

    def _write_json(self, name: str, folder: Path, dice: random.Random | None) -> str:
        data, how = (self._seeds / name).read_bytes(), "whole"
        if dice:
            data, how = damaged_json(data, dice)
        (folder / name).write_bytes(data)
        return how

    def _write_provenance(self, folder: Path, dice: random.Random | None) -> str:
        shutil.copy(self._seeds / "model.safetensors", folder)
        return self._write_json("model.json", folder, dice)

    def _load_model(self, folder: Path) -> str:
        """The weights are those of the file whatever stands beside it, and never serve more times than before."""
        import torch

        from ifrnet import load_model

        found = load_model(folder / "model.safetensors")
        expected = load_model("ifrnet_s").state_dict()
        assert found.info is not None
        json.dumps(dict(found.info.provenance), allow_nan=False)  # as the manifest of an export does
        same = all(torch.equal(value, expected[key]) for key, value in found.state_dict().items())
        return "" if same else "other weights"

    def _quantize(self, folder: Path) -> str:
        """What is accepted as scales gives a graph without a scale that is zero or infinite in float32."""
        from onnx import numpy_helper

        from export.int8.quantize import quantize
        from export.int8.scales import read_scales

        model = quantize(self._graph, read_scales(folder / "scales.json").scales)
        for tensor in model.graph.initializer:
            if "scale" in tensor.name:
                values = numpy_helper.to_array(tensor)
                if not np.isfinite(values).all() or not (values > 0).all():
                    return f"{tensor.name} is {values.ravel()[:3]}"
        return ""

    @cached_property
    def _graph(self) -> Any:
        import onnx

        return onnx.load(self._seeds / "graph.onnx")

    def _write_results(self, folder: Path, dice: random.Random | None) -> str:
        name = dice.choice(("latency.json", "throughput.json")) if dice else "latency.json"
        how = self._write_json(name, folder, dice)
        (folder / name).rename(folder / "new.json")
        shutil.copy(self._seeds / name, folder / "old.json")
        return f"{name}: {how}"

    def _compare(self, folder: Path) -> str:
        """Compared with the whole ones in both directions, and drawn."""
        from benchmarks.__main__ import main

        old, new = str(folder / "old.json"), str(folder / "new.json")
        refused = None
        for arguments in (["compare", old, new], ["compare", new, old], ["plot", new]):
            try:
                run_command(main, arguments)
            except RefusedError as error:
                refused = error
        if refused:
            raise refused
        return ""

    def _write_tuning(self, folder: Path, dice: random.Random | None) -> str:
        from runtimes.registry import backend
        from runtimes.tuning import Tuning, write_tuning

        artifact = artifacts.copy(self._seeds / self._target, folder)
        module = backend({"onnx": "onnxruntime"}.get(self._target, self._target))
        settings = {name: values[-1] for name, values in module.SETTINGS.items()}
        path = write_tuning(artifact, module.ABOUT, "cpu", Tuning(threads=2, settings=settings), {"median_ms": 1.0})
        if dice is None:
            return "whole"
        data, how = damaged_json(path.read_bytes(), dice)
        path.write_bytes(data)
        return how

    @cached_property
    def _expected(self) -> dict[str, Array]:
        return {target: artifacts.answer(self._seeds / target) for target in TARGETS}

    def _answer(self, folder: Path) -> str:
        return artifacts.differs(artifacts.answer(folder / "artifact"), self._expected[self._target])

    def _write_verdicts(self, folder: Path, dice: random.Random | None) -> str:
        """Verdicts of this machine, failed ones; now and then a record that was changed has its checksum again."""
        import runtimes
        from runtimes.verdicts import FILE, _checksum

        artifact = artifacts.copy(self._seeds / self._target, folder)
        runtimes.verify(artifact, device="cpu")
        path = artifact / FILE
        data = json.loads(path.read_text())
        data["records"][0] |= {"verdict": "failed", "reason": "as a test"}
        data["records"][0]["checksum"] = _checksum(data["records"][0])
        text, how = json.dumps(data).encode(), "whole"
        self._forged = bool(dice and dice.random() < 0.4)
        if dice and self._forged:
            data["records"][0], how = changed_json(data["records"][0], dice)
            if isinstance(data["records"][0], dict):
                data["records"][0]["checksum"] = _checksum(data["records"][0])
            text, how = json.dumps(data).encode(), f"with its checksum: {how}"
        elif dice:
            text, how = damaged_json(text, dice)
        path.write_bytes(text)
        return how

    def _believe(self, folder: Path) -> str:
        """A verdict that failed is still believed, or the file is said to be ignored."""
        import runtimes
        from runtimes.commands.info import main
        from runtimes.errors import VerdictWarning

        run_command(main, [str(folder / "artifact")])
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            runtimes.load(folder / "artifact", device="cpu", threads=1).close()
        silent = not any(issubclass(item.category, VerdictWarning) for item in told)
        return "the failed verdict is forgotten" if silent and not self._forged else ""

    def _write_proof(self, folder: Path, dice: random.Random | None) -> str:
        """A damaged proof with its sha256 in the manifest: bytes, or the header's values."""
        artifact = artifacts.copy(self._seeds / self._target, folder)
        path = artifact / "proof.dat"
        data, how = path.read_bytes(), "whole"
        if dice and dice.random() < 0.6:
            length = int.from_bytes(data[12:16], "little")
            header, how = changed_json(json.loads(data[16 : 16 + length]), dice)
            text = json.dumps(header).encode()
            text += b" " * (-len(text) % 4)
            data = data[:12] + len(text).to_bytes(4, "little") + text + data[16 + length :]
        elif dice:
            data, how = damaged(data, dice)
        path.write_bytes(data)
        artifacts.correct_sha256(artifact)
        return how

    def _prove(self, folder: Path) -> str:
        """A proof that is accepted fails what is grey everywhere."""
        import runtimes
        from runtimes.artifact import open_artifact
        from runtimes.proof import read_proof, run_proof
        from runtimes.verdicts import proof_of

        record = runtimes.verify(folder / "artifact", device="cpu")
        artifact = open_artifact(folder / "artifact")
        cases = read_proof(proof_of(artifact), artifact.manifest.sizes)
        if record.verdict is not Verdict.PASSED:
            raise RefusedError(record.reason)

        def grey(img0: Array, img1: Array, t: Array) -> Array:
            return np.full((len(t), *img0.shape[1:]), 0.5, np.float32)

        return "" if any(result.trouble for result in run_proof(grey, cases)) else "a proof that grey frames pass"
