"""Model files, with the sha256 that they had and with that of what they are now."""

from __future__ import annotations

import random
from functools import cached_property
from pathlib import Path

from runtimes.contract import Verdict
from runtimes.frames import Array
from tests.fuzz import artifacts
from tests.fuzz.damage import damaged
from tests.fuzz.kind import RefusedError

FILES = {
    "onnx": (".onnx",),
    "openvino": (".xml", ".bin"),
    "ncnn": (".param", ".bin"),
    artifacts.INT8: (".param", ".bin"),
    "mnn": (".mnn",),
}


def prepare(seeds: Path) -> None:
    """Artifacts of all backends."""
    artifacts.export_all(seeds)


class ChangedModels:
    """A changed file is refused by its sha256."""

    def __init__(self, seeds: Path) -> None:
        self._seeds = seeds

    @cached_property
    def expected(self) -> dict[str, Array]:
        """Target -> the frame of the whole artifact."""
        return {target: artifacts.answer(self._seeds / target) for target in artifacts.TARGETS}

    def write(self, folder: Path, dice: random.Random | None) -> str:
        """See :class:`tests.fuzz.kind.Trial`."""
        self._whole = dice is None
        self.target = dice.choice(artifacts.TARGETS) if dice else artifacts.TARGETS[0]
        artifact = artifacts.copy(self._seeds / self.target, folder)
        if dice is None:
            return "whole"
        suffix = dice.choice(FILES[self.target])
        (path,) = artifact.glob(f"*{suffix}")
        data, how = self._damaged(path, dice)
        path.write_bytes(data)
        return f"{self.target} {suffix}: {how}"

    def _damaged(self, path: Path, dice: random.Random) -> tuple[bytes, str]:
        return damaged(path.read_bytes(), dice)

    def attempt(self, folder: Path) -> str:
        """See :class:`tests.fuzz.kind.Trial`."""
        found = artifacts.answer(folder / "artifact")
        return artifacts.differs(found, self.expected[self.target]) if self._whole else "loaded with another sha256"


class CorrectedModels(ChangedModels):
    """What a model file says is wrong only where the artifact's proof passes all the same.

    In int8 the proof's limits are wider than what a few other weights do: there only crashes and hangs are findings.
    """

    def write(self, folder: Path, dice: random.Random | None) -> str:
        """See :class:`tests.fuzz.kind.Trial`."""
        what = super().write(folder, dice)
        artifacts.correct_sha256(folder / "artifact")
        return what

    def _damaged(self, path: Path, dice: random.Random) -> tuple[bytes, str]:
        """Texts get another number or word as often as other bytes."""
        if path.suffix in (".xml", ".param") and dice.random() < 0.5:
            return other_word(path.read_text(), dice)
        return super()._damaged(path, dice)

    def attempt(self, folder: Path) -> str:
        """See :class:`tests.fuzz.kind.Trial`."""
        import runtimes

        artifact = folder / "artifact"
        found = artifacts.answer(artifact)
        record = runtimes.verify(artifact, device="cpu")
        if record.verdict is not Verdict.PASSED:
            raise RefusedError(f"its proof failed: {record.reason}")
        return "" if self.target == artifacts.INT8 else artifacts.differs(found, self.expected[self.target])


NUMBERS = ("0", "-1", "1", "2", "7", "1000", "65536", "2147483647", "4294967295", "9223372036854775807", "1e38", "nan")


def other_word(text: str, dice: random.Random) -> tuple[bytes, str]:
    """A text with one number or word replaced."""
    import re

    word = dice.choice(list(re.finditer(r"-?\d+|\w+", text)))
    other = dice.choice(NUMBERS) if dice.random() < 0.8 else dice.choice(("", "x" * 1000, "in0", "Input", "\x00"))
    line = text.count("\n", 0, word.start()) + 1
    found = text[: word.start()] + other + text[word.end() :]
    return found.encode(), f"line {line}: {word[0][:30]} becomes {other[:30]!r}"
