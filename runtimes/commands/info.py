"""``python -m runtimes info ARTIFACT``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runtimes.artifact import DeviceParity, Manifest, open_artifact
from runtimes.cli import Parser


def main(arguments: Sequence[str]) -> int:
    """Print the manifest for people, after checking the files against it."""
    parser = Parser(prog="python -m runtimes info", description="Show what an artifact is, and its parity verdicts.")
    parser.add_argument("artifact", type=Path, help="artifact folder")
    parser.add_argument("--json", action="store_true", help="print the manifest as it is")
    args = parser.parse_args(arguments)
    manifest = open_artifact(args.artifact).manifest
    print(manifest.to_json() if args.json else "\n".join(_lines(manifest)), end="" if args.json else "\n")
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
    width = max(map(len, facts))
    lines = [f"{name:{width}}  {value}" for name, value in facts.items()]
    return lines + [f"{'parity':{width}}  {_verdict(record)}" for record in manifest.parity]


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
    return f"{record.device}{ran}: {record.verdict}{reason}{worst}"
