"""What was proved of an artifact on this machine, and what of the manifest's verdicts is believed here.

A verdict is won by a kind of device, an arithmetic and an instruction set, and believed only there. ``verify`` runs the
artifact's own proof and keeps the outcome beside the artifact, or in the user's cache where that folder is read-only;
never in the manifest, which is the same on every machine.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runtimes.artifact import EMULATOR, SAVED_FILE, Artifact, DeviceParity
from runtimes.atomic import write_text
from runtimes.base import Runtime
from runtimes.contract import Size, Verdict
from runtimes.device import Device
from runtimes.environment import cache_folder
from runtimes.errors import ArtifactError, BackendError, VerdictWarning
from runtimes.json_text import parse_json
from runtimes.machine import Machine
from runtimes.printable import MAX_REASON, one_line
from runtimes.proof import FILE as PROOF
from runtimes.proof import ProofResult, read_proof, run_proof

FILE = "verdicts.json"
FORMAT = 1
LIMIT = 2**20
MAX_RECORDS = 64
"""The oldest are dropped."""

STAND_INS = (SAVED_FILE, EMULATOR)
"""What is no device: a failure there is one everywhere, and nothing that passes there is proved on a device."""

_said: set[tuple[str, str]] = set()
"""What was said of an artifact in this process already."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a verdict holds for: the artifact, the device, the arithmetic that ran, and the machine."""

    artifact: str
    backend: str
    device: str
    arithmetic: str
    machine: Machine

    @classmethod
    def of(cls, runtime: Runtime, device: Device, machine: Machine) -> Conditions:
        """Those of a loaded artifact."""
        return cls(
            artifact=runtime.manifest.identity,
            backend=runtime.spec.backend,
            device=device.name,
            arithmetic=runtime.spec.arithmetic,
            machine=machine,
        )


@dataclass(frozen=True, kw_only=True)
class Record:
    """The outcome of a proof.

    Attributes:
        conditions: what it holds for.
        verdict: passed or failed.
        reason: which limits were broken.
        results: every comparison; empty where the backend failed.
        created: date and time, UTC.
    """

    conditions: Conditions
    verdict: Verdict
    reason: str = ""
    results: tuple[ProofResult, ...] = ()
    created: str = ""


@dataclass(frozen=True, kw_only=True)
class Belief:
    """The verdict that holds for a loaded artifact, why, and whether it was won on this very machine."""

    verdict: Verdict
    reason: str = ""
    own: bool = False


# ---- the proof ---------------------------------------------------------------------------------------------------


def prove(artifact: Artifact, runtime: Runtime, device: Device, machine: Machine) -> Record:
    """Run the artifact's proof on a loaded runtime and keep the outcome.

    Raises:
        ArtifactError: the artifact has no proof, or a damaged one.

    Warns:
        VerdictWarning: the outcome can be written neither beside the artifact nor into the user's cache.
    """
    cases = read_proof(proof_of(artifact), artifact.manifest.sizes)
    passed = Verdict.EMULATED if device.emulates else Verdict.PASSED
    record = Record(
        conditions=Conditions.of(runtime, device, machine),
        verdict=passed,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    try:
        results = tuple(run_proof(runtime.infer, cases))
    except BackendError as error:  # short of memory perhaps: it says nothing of the next time, and is not kept
        return replace(record, verdict=Verdict.FAILED, reason=str(error))
    else:
        troubles = [f"at {r.size}, t = {r.t}{_together(r)}: {r.trouble}" for r in results if r.trouble]
        verdict = Verdict.FAILED if troubles else passed
        record = replace(record, verdict=verdict, reason="; ".join(troubles), results=results)
    try:
        keep(artifact.folder, record)
    except OSError as error:
        warnings.warn(
            f"the verdict on {artifact.folder} could not be kept and holds for this call alone: let IFRNET_CACHE name "
            f"a folder that can be written ({error})",
            VerdictWarning,
            stacklevel=2,
        )
    return record


def proof_of(artifact: Artifact) -> bytes:
    """The proof's bytes. Raises ArtifactError where there is none, as where INT8 lost too much at export."""
    if PROOF not in artifact.contents:
        failed = [record.reason for record in artifact.manifest.parity if record.verdict is Verdict.FAILED]
        why = f"failed where it was exported ({failed[0]}) and carries no proof" if failed else f"has no {PROOF}"
        raise ArtifactError(f"{artifact.folder} {why}, so it cannot be proved here: export it again")
    return artifact.contents[PROOF]


def _together(result: ProofResult) -> str:
    return " of several at once" if result.together else ""


# ---- what is believed --------------------------------------------------------------------------------------------


def believed(artifact: Artifact, conditions: Conditions) -> Belief:
    """The verdict for a loaded artifact: this machine's own, else one of the manifest that was won alike.

    Warns:
        VerdictWarning: the file of verdicts is damaged, or the backend's version is not the one that was proved; once
            each.
    """
    records = list(_read_all(artifact.folder, conditions.artifact))
    if mine := [record for record in records if record.conditions == conditions]:
        newest = max(mine, key=lambda record: record.created)  # one beside the artifact, one in the cache
        return Belief(verdict=newest.verdict, reason=newest.reason, own=True)
    device = Device(name=conditions.device)
    parity = artifact.manifest.parity
    alike = [found for found in parity if found.device in STAND_INS or Device(name=found.device).kind == device.kind]
    for found in alike:  # before any that passed: the manifest may name another device of the kind first
        if found.verdict is Verdict.FAILED:
            return Belief(verdict=Verdict.FAILED, reason=found.reason)
    reasons = []
    for found in alike:
        if found.verdict is not Verdict.PASSED or found.device in STAND_INS:
            reasons.append(found.reason)
        elif reason := _difference(found, conditions, device):
            reasons.append(reason)
        else:
            _say_version(artifact, found, conditions)
            return Belief(verdict=Verdict.PASSED)
    reason = next(filter(None, reasons), f"never compared on {conditions.device}")
    if records:
        reason += f"; {FILE} holds verdicts of other conditions only (another machine, device, version or arithmetic)"
    return Belief(verdict=Verdict.NOT_RUN, reason=reason)


def _difference(found: DeviceParity, conditions: Conditions, device: Device) -> str:
    """Why a verdict of the manifest does not hold here; empty when it does."""
    if found.arithmetic != conditions.arithmetic:
        return f"proved in {found.arithmetic}, {conditions.arithmetic} runs here"
    if found.machine is None:
        return f"proved on a {device.kind} that the manifest does not describe"
    return conditions.machine.difference(found.machine, device)


def _say_version(artifact: Artifact, found: DeviceParity, conditions: Conditions) -> None:
    proved, here = (found.machine.versions if found.machine else {}), conditions.machine.versions
    if dict(proved) != dict(here):
        listed = " ".join(f"{name} {version}" for name, version in proved.items())
        running = " ".join(f"{name} {version}" for name, version in here.items())
        _say(
            artifact,
            f"{artifact.manifest.name} was proved with {listed or 'an unknown version'}, {running} runs it: "
            f"python -m runtimes verify {artifact.folder} proves it with this one",
        )


def _say(artifact: Artifact, message: str) -> None:
    key = (str(artifact.folder), message)
    if key not in _said:
        _said.add(key)
        warnings.warn(message, VerdictWarning, stacklevel=4)


def records_of(artifact: Artifact) -> list[Record]:
    """Every record that is kept of an artifact, the oldest first; of this machine and, in a shared folder, of others.

    Warns:
        VerdictWarning: a file of verdicts is damaged.
    """
    identity = artifact.manifest.identity
    return [record for record in _read_all(artifact.folder, identity) if record.conditions.artifact == identity]


def record_on(artifact: Artifact, device: Device, machine: Machine) -> Record | None:
    """The newest record of an artifact on this very machine, backend and device; None where there is none.

    For whoever has not loaded the artifact yet: the arithmetic, which only a loaded one knows, is that of the record.
    Warns as :func:`records_of` does.
    """
    mine = [r for r in records_of(artifact) if (r.conditions.device, r.conditions.machine) == (device.name, machine)]
    return max(mine, key=lambda record: record.created, default=None)


# ---- the file ----------------------------------------------------------------------------------------------------


def keep(folder: Path, record: Record) -> Path:
    """Store a record beside the artifact, or in the user's cache; returns the file.

    Raises:
        OSError: neither can be written.
    """
    others = [kept for kept in _read_all(folder, record.conditions.artifact) if kept.conditions != record.conditions]
    records = [*others, record][-MAX_RECORDS:]
    text = json.dumps({"format": FORMAT, "records": [_to_json(item) for item in records]}, indent=1) + "\n"
    beside = folder / FILE
    try:
        write_text(beside, text)
        return beside
    except OSError:
        cached = _cached(record.conditions.artifact)
        cached.parent.mkdir(parents=True, exist_ok=True)
        write_text(cached, text)
        return cached


def _cached(artifact: str) -> Path:
    return cache_folder() / "verdicts" / f"{artifact}.json"


def _read_all(folder: Path, artifact: str) -> Iterator[Record]:
    """Every record that is whole, beside the artifact and then in the cache. Damaged ones are ignored, and named."""
    places = [folder / FILE]
    with suppress(FileNotFoundError):
        places.append(_cached(artifact))
    for path in places:
        try:
            yield from _read(path)
        except FileNotFoundError:
            continue
        except (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            reason = one_line(error, MAX_REASON) or type(error).__name__
            warnings.warn(f"{path} is ignored: {reason}", VerdictWarning, stacklevel=4)


def _read(path: Path) -> Iterator[Record]:
    if path.stat().st_size > LIMIT:
        raise ValueError(f"it has {path.stat().st_size} bytes, more than {LIMIT}")
    data = parse_json(path.read_text(encoding="utf-8"))
    if data["format"] != FORMAT:
        raise ValueError(f"it is of format {data['format']}, this version reads {FORMAT}")
    for entry in data["records"][:MAX_RECORDS]:
        if _checksum(entry) != entry["checksum"]:
            raise ValueError("a record was changed after it was written (its checksum differs)")
        yield _from_json(entry)


def _checksum(entry: dict[str, Any]) -> str:
    rest = {key: value for key, value in entry.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _to_json(record: Record) -> dict[str, Any]:
    conditions = record.conditions
    entry: dict[str, Any] = {
        "artifact": conditions.artifact,
        "backend": conditions.backend,
        "device": conditions.device,
        "arithmetic": conditions.arithmetic,
        "machine": conditions.machine.to_json(),
        "verdict": record.verdict,
        "reason": record.reason,
        "created": record.created,
        "results": [
            {
                "size": str(result.size),
                "t": result.t,
                "together": result.together,
                "max_error": _number(result.max_error),
                "psnr": _number(result.psnr),
                "block_error": _number(result.block_error),
                "trouble": result.trouble,
            }
            for result in record.results
        ],
    }
    return {**entry, "checksum": _checksum(entry)}


def _number(value: float) -> float | str:
    """JSON has no infinity."""
    return value if math.isfinite(value) else str(value)


def _from_json(entry: Any) -> Record:
    texts: dict[str, Any] = {key: str(entry[key]) for key in ("artifact", "backend", "device", "arithmetic")}
    results = tuple(
        ProofResult(
            size=Size.parse(item["size"]),
            together=bool(item["together"]),
            trouble=str(item["trouble"]),
            **{key: float(item[key]) for key in ("t", "max_error", "psnr", "block_error")},
        )
        for item in entry["results"]
    )
    return Record(
        conditions=Conditions(**texts, machine=Machine.parse(entry["machine"])),
        verdict=Verdict(entry["verdict"]),
        reason=str(entry["reason"]),
        results=results,
        created=str(entry["created"]),
    )
