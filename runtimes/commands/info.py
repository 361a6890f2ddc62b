"""``python -m runtimes info ARTIFACT``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runtimes.artifact import DeviceParity, Manifest, open_artifact
from runtimes.cli import Parser
from runtimes.commands.common import notes
from runtimes.machine import Machine
from runtimes.printable import printable
from runtimes.verdicts import Record, records_of

_WIDTH = len("checkpoint")


def main(arguments: Sequence[str]) -> int:
    """Print the manifest for people, after checking the files against it."""
    parser = Parser(prog="python -m runtimes info", description="Show what an artifact is, and its parity verdicts.")
    parser.add_argument("artifact", type=Path, help="artifact folder")
    parser.add_argument("--json", action="store_true", help="print the manifest as it is")
    args = parser.parse_args(arguments)
    artifact = open_artifact(args.artifact)
    manifest = artifact.manifest
    if args.json:
        print(manifest.to_json().replace("\x7f", "\\u007f"), end="")
        return 0
    with notes():
        lines = _lines(manifest) + [f"{'proved':{_WIDTH}}  {_own(record)}" for record in records_of(artifact)]
    print("\n".join(map(printable, lines)))
    return 0


def _lines(manifest: Manifest) -> list[str]:
    checkpoint = manifest.checkpoint
    scale = "" if manifest.scale == 1 else f", the network at {manifest.scale:g} of that"
    serves = "t = 0.5 only (other times by halving)" if manifest.timesteps == "0.5" else "any t"
    digest = str(checkpoint.get("sha256"))[:16]
    megabytes = sum(int(entry["bytes"]) for entry in manifest.files.values()) / 1e6
    facts = {
        "name": manifest.name,
        "target": f"{manifest.target}, runs on {manifest.backend}",
        "variant": manifest.variant,
        "checkpoint": f"{checkpoint.get('name')} ({checkpoint.get('source')}, sha256 {digest}...)",
        "timesteps": serves,
        "precision": str(manifest.precision),
        "sizes": f"{manifest.sizes}{scale}",
        "rewrites": ", ".join(manifest.rewrites) or "none",
        "tools": ", ".join(f"{name} {version}" for name, version in manifest.tools.items()),
        "details": ", ".join(f"{name} {value}" for name, value in manifest.details.items()) or "none",
        "files": f"{', '.join(manifest.files)} ({megabytes:.1f} MB, sha256 verified)",
        "created": manifest.created,
    }
    lines = [f"{name:{_WIDTH}}  {value}" for name, value in facts.items()]
    return lines + [f"{'parity':{_WIDTH}}  {_verdict(record)}" for record in manifest.parity]


def _verdict(record: DeviceParity) -> str:
    ran = f" ({record.arithmetic})" if record.arithmetic else ""
    reason = f": {record.reason}" if record.reason else ""
    worst = ""
    if record.results:
        error, psnr = max(r.max_error for r in record.results), min(r.psnr for r in record.results)
        limits = [f"limit {record.max_error_limit:.1e}"] if record.max_error_limit is not None else []
        limits += [f"at least {record.psnr_limit:g} dB"] if record.psnr_limit is not None else []
        worst = (
            f"; max error {error:.1e}, PSNR {psnr:.1f} dB over {len(record.results)} comparisons ({', '.join(limits)})"
        )
    where = f"; on {_machine(record.machine)}" if record.machine else ""
    return f"{record.device}{ran}: {record.verdict}{reason}{worst}{where}"


def _own(record: Record) -> str:
    conditions = record.conditions
    reason = f": {record.reason}" if record.reason else ""
    where = f"{_machine(conditions.machine)}, {record.created}"
    return f"{conditions.device} ({conditions.arithmetic}): {record.verdict}{reason}; on {where}"


def _machine(machine: Machine) -> str:
    sets = f"{machine.processor} ({' '.join(machine.instruction_sets)})"
    device = f"{machine.device}, driver {machine.driver or 'unknown'}, " if machine.device else ""
    versions = " ".join(f"{name} {version}" for name, version in machine.versions.items())
    return f"{device}{sets}, {versions}"
