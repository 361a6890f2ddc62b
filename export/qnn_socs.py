"""Qualcomm's chips by the names that people know, and what the compiler calls them.

``soc_model`` and the Hexagon architecture are those of the table "Supported Snapdragon devices" in the overview of the
Qualcomm AI Engine Direct SDK, docs.qualcomm.com, document 80-63442-50; ExecuTorch keeps the same numbers in public
(``QcomChipset``, backends/qualcomm/serialization/qc_schema.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from export.errors import ExportError


@dataclass(frozen=True, kw_only=True)
class Soc:
    """A chip.

    Attributes:
        part: Qualcomm's part number.
        model: the compiler's number of it.
        arch: version of its Hexagon processor: a context binary runs on this one.
    """

    part: str
    model: int
    arch: int


SOCS: Mapping[str, Soc] = MappingProxyType(
    {
        "snapdragon-888": Soc(part="SM8350", model=30, arch=68),
        "snapdragon-8-gen-1": Soc(part="SM8450", model=36, arch=69),
        "snapdragon-8-plus-gen-1": Soc(part="SM8475", model=42, arch=69),
        "snapdragon-8-gen-2": Soc(part="SM8550", model=43, arch=73),
        "snapdragon-8-gen-3": Soc(part="SM8650", model=57, arch=75),
        "snapdragon-8-elite": Soc(part="SM8750", model=69, arch=79),
        "snapdragon-8-elite-gen-5": Soc(part="SM8850", model=87, arch=81),
    }
)
"""Name -> chip, the oldest first."""

DEFAULT_SOC = "snapdragon-8-gen-3"

FIRST_FP16 = 69
"""The first architecture that has half precision; before it the NPU computes in integers alone."""


def soc(name: str) -> Soc:
    """The chip of a name.

    Raises:
        ExportError: nobody is called that; lists who is.
    """
    if name not in SOCS:
        known = ", ".join(f"{name} ({chip.part})" for name, chip in SOCS.items())
        raise ExportError(f"--soc {name}: no such chip; there are {known}")
    return SOCS[name]
