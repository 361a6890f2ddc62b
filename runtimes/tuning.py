"""Settings that measured fastest for an artifact on this machine, kept beside it by ``python -m benchmarks tune``.

They change speed, never what is computed: a backend names the settings it has with their values, and nothing else is
read from the file. On another machine, device or version of the backend they do not apply and are not used.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtimes.atomic import write_text
from runtimes.device import About
from runtimes.environment import package_versions, processor
from runtimes.errors import ArtifactError
from runtimes.json_text import parse_json
from runtimes.printable import MAX_REASON, one_line

FILE = "tuning.json"
FORMAT = 1
LIMIT = 2**16

Settings = Mapping[str, bool | int | str]

Choices = Mapping[str, tuple[bool | int | str, ...]]
"""Setting -> its values, the default first."""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How to run an artifact; without arguments, as the backend does by itself.

    Attributes:
        threads: of the CPU; None leaves it to the backend.
        settings: see ``SETTINGS`` of the backend's module.
        cache: folder for what the backend compiles; None for none. Not kept in the file.
    """

    threads: int | None = None
    settings: Settings = field(default_factory=dict)
    cache: Path | None = None


def conditions(about: About, device: str) -> dict[str, Any]:
    """What a tuning depends on."""
    return {
        "backend": about.name,
        "device": device,
        "processor": processor(),
        "cores": os.cpu_count(),
        "versions": package_versions(about.distributions),
    }


def read_tuning(folder: Path, about: About, device: str, choices: Choices) -> Tuning:
    """The tuning beside an artifact; the default where there is none for these conditions.

    Raises:
        ArtifactError: the file is not one of ours, or names settings or values that the backend does not have.
    """
    path = folder / FILE
    if not path.is_file():
        return Tuning()
    try:
        if path.stat().st_size > LIMIT:
            raise ValueError(f"it has {path.stat().st_size} bytes, more than {LIMIT}")
        data = parse_json(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT or data["conditions"] != conditions(about, device):
            return Tuning()
        threads, settings = data["threads"], dict(data["settings"])
        if threads is not None and (type(threads) is not int or not 1 <= threads <= 1024):
            raise ValueError(f"threads is {threads!r}")
        for name, value in settings.items():
            if not any(type(value) is type(known) and value == known for known in choices.get(name, ())):
                raise ValueError(f"{about.name} has no setting {name} = {value!r}")
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"cannot read {path}: {one_line(error, MAX_REASON)}; remove it, or tune again") from error
    return Tuning(threads=threads, settings=settings)


def write_tuning(folder: Path, about: About, device: str, tuning: Tuning, measured: Mapping[str, Any]) -> Path:
    """Store a tuning with what was measured for it; returns the file."""
    data = {
        "format": FORMAT,
        "conditions": conditions(about, device),
        "threads": tuning.threads,
        "settings": dict(tuning.settings),
        "measured": dict(measured),
    }
    write_text(folder / FILE, json.dumps(data, indent=1) + "\n")
    return folder / FILE
