"""What a backend says of itself and of its devices."""

from __future__ import annotations

from dataclasses import dataclass


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
    """

    name: str
    title: str
    modules: tuple[str, ...]
    distributions: tuple[str, ...]
    extra: str
    colour: str


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device that a backend could run on.

    Attributes:
        name: as passed to :func:`runtimes.load`.
        description: what it is, for people.
        reason: why it cannot be used; empty when it can.
        software: an emulation of a GPU by the CPU: right, and slow.
        driver: version of what drives it, as the backend reports it; empty for the CPU.
    """

    name: str
    description: str = ""
    reason: str = ""
    software: bool = False
    driver: str = ""

    @property
    def kind(self) -> str:
        """``cpu``, ``cuda``, ``vulkan``, ``gpu``, ``npu``: the name without the number."""
        return self.name.partition(":")[0].partition(".")[0]
