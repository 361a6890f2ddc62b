"""Every kind of input by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tests.fuzz import checkpoints, manifests, media, models, records
from tests.fuzz.kind import Kind

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "manifest": Kind(count=300, prepare=manifests.prepare, trial=manifests.Manifests),
        "model": Kind(count=60, prepare=models.prepare, trial=models.ChangedModels),
        "model-sha256": Kind(count=300, prepare=models.prepare, trial=models.CorrectedModels),
        "checkpoint": Kind(count=600, prepare=checkpoints.prepare, trial=checkpoints.Checkpoints),
        "record": Kind(count=250, prepare=records.prepare, trial=records.Records),
        "media": Kind(count=300, prepare=media.prepare, trial=media.Media),
    }
)
"""Importing the modules of kinds imports nothing heavy."""
