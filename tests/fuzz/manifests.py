"""Manifests: other bytes, other structure."""

from __future__ import annotations

import random
from functools import cached_property
from pathlib import Path

from runtimes.frames import Array
from tests.fuzz import artifacts
from tests.fuzz.damage import damaged_json
from tests.fuzz.kind import RefusedError, run_command


def prepare(seeds: Path) -> None:
    """Artifacts of all backends."""
    artifacts.export_all(seeds)


class Manifests:
    """Shows, loads and runs what a damaged manifest describes."""

    def __init__(self, seeds: Path) -> None:
        self._seeds = seeds

    @cached_property
    def _expected(self) -> dict[str, Array]:
        return {target: artifacts.answer(self._seeds / target) for target in artifacts.TARGETS}

    def write(self, folder: Path, dice: random.Random | None) -> str:
        """See :class:`tests.fuzz.kind.Trial`."""
        self._target = dice.choice(artifacts.TARGETS) if dice else artifacts.TARGETS[0]
        artifact = artifacts.copy(self._seeds / self._target, folder)
        if dice is None:
            return "whole"
        path = artifact / "manifest.json"
        data, how = damaged_json(path.read_bytes(), dice)
        path.write_bytes(data)
        return f"{self._target}: {how}"

    def attempt(self, folder: Path) -> str:
        """See :class:`tests.fuzz.kind.Trial`."""
        from runtimes.commands.info import main

        artifact = folder / "artifact"
        refused = None
        for options in ([], ["--json"]):
            try:
                run_command(main, [str(artifact), *options])
            except RefusedError as error:
                refused = error
        found = artifacts.answer(artifact)  # whatever is refused above is refused here
        if refused:
            raise refused
        return artifacts.differs(found, self._expected[self._target])
