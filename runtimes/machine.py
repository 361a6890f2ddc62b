"""What a verdict depends on besides the artifact: the machine, the device, its driver, the backend's version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from runtimes.device import About, Device
from runtimes.environment import instruction_sets, package_versions, processor
from runtimes.json_text import as_list, as_table, as_text


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where something ran.

    Attributes:
        processor: name of the CPU.
        instruction_sets: of the CPU, see :func:`runtimes.environment.instruction_sets`.
        device: what the device is, for example ``NVIDIA H100 80GB``; empty for the CPU.
        driver: of the device; empty for the CPU.
        versions: distribution -> version, of the backend.
    """

    processor: str
    instruction_sets: tuple[str, ...]
    device: str = ""
    driver: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def here(cls, about: About, device: Device) -> Self:
        """This machine, with one of its devices."""
        return cls(
            processor=processor(),
            instruction_sets=instruction_sets(),
            device="" if device.is_cpu else device.description,
            driver=device.driver,
            versions={**package_versions(about.distributions), **device.versions},
        )

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Read what :meth:`to_json` wrote. Raises KeyError, TypeError or ValueError."""
        texts: dict[str, Any] = {key: as_text(data[key]) for key in ("processor", "device", "driver")}
        versions = {name: as_text(version) for name, version in as_table(data["versions"]).items()}
        return cls(**texts, instruction_sets=tuple(map(as_text, as_list(data["instruction_sets"]))), versions=versions)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "instruction_sets": list(self.instruction_sets)}

    def difference(self, other: Machine, device: Device) -> str:
        """Why what was proved on ``other`` is not proved here, on such a device; empty when it is.

        On a CPU the instruction sets decide which kernels run, on another device the device does. Another version of
        the backend or the driver is no reason by itself.
        """
        if not device.is_cpu:
            return "" if self.device == other.device else f"proved on {other.device}, this is {self.device}"
        if self.instruction_sets == other.instruction_sets:
            return ""
        here, there = set(self.instruction_sets), set(other.instruction_sets)
        parts = [f"without {', '.join(sorted(there - here))}"] if there - here else []
        parts += [f"with {', '.join(sorted(here - there))}"] if here - there else []
        return f"proved on {other.processor}; this processor is one {' and '.join(parts)}"
