"""What a backend says of itself and of its devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class About:
    """What is true of a backend wherever it runs; every other list of backends is derived from it.

    Attributes:
        name: as in manifests and in ``runtimes.registry.BACKENDS``.
        title: as its makers write it.
        modules: names that Python imports. One of them has to be there, and none may be imported unasked.
        distributions: on PyPI; their versions decide how an artifact runs.
        extra: of this package, which installs it.
        colour: in plots; Okabe and Ito's palette, which colour-blind readers tell apart.
        runs: other backends whose artifacts it runs as well. Its devices then carry its name: ``native/cpu``.
    """

    name: str
    title: str
    modules: tuple[str, ...]
    distributions: tuple[str, ...]
    extra: str
    colour: str
    runs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device that a backend could run on.

    Attributes:
        name: as passed to :func:`runtimes.load`.
        description: what it is, for people.
        reason: why it cannot be used; empty when it can.
        software: an emulation of a GPU by the CPU: right, and slow.
        emulates: the processor that its maker's emulation stands for, for people; empty where nothing is emulated. What
            passes there is ``passed (emulated)``, and what fails there fails on the processor.
        driver: version of what drives it, as the backend reports it; empty for the CPU.
        versions: of what runs there and is no distribution of Python, by name.
    """

    name: str
    description: str = ""
    reason: str = ""
    software: bool = False
    emulates: str = ""
    driver: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """``cpu``, ``cuda``, ``vulkan``, ``gpu``, ``npu``, ``native/cpu``, ...: the name without the number."""
        return self.name.partition(":")[0].partition(".")[0]

    @property
    def is_cpu(self) -> bool:
        """Whether the processor itself computes, whatever the backend."""
        return self.kind.rpartition("/")[2] == "cpu"
