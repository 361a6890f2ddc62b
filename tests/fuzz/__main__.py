"""``python -m tests.fuzz``: damaged files of every kind, in processes with a limit on time and memory.

Not part of the suite: it takes some twenty minutes. The same seed gives the same inputs. Exit code 1 says that
something was found; what was found is kept in a folder with the input that shows it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.fuzz.kind import Outcome
from tests.fuzz.kinds import KINDS
from tests.fuzz.supervisor import LIMIT_MB, SECONDS, Supervisor, Verdict

FINE = (Outcome.REFUSED, Outcome.RIGHT)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    counts = ", ".join(f"{name} {kind.count}" for name, kind in KINDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description="Feed damaged files to everything that reads one, and count what is not refused in one line.",
        epilog=f"inputs of each kind: {counts}",
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="which (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the damage (default: 0)")
    parser.add_argument("--count", type=int, help="inputs of each kind (default: see below)")
    parser.add_argument("--first", type=int, default=0, help="number of the first input, to repeat one")
    parser.add_argument(
        "--keep", type=Path, default=Path("fuzz-findings"), help="folder for findings (default: fuzz-findings)"
    )
    return parser.parse_args(arguments)


def try_kind(name: str, args: argparse.Namespace, work: Path) -> Counter[Outcome]:
    """All inputs of a kind; findings are printed and kept."""
    seeds = work / "seeds"
    seeds.mkdir(parents=True)
    KINDS[name].prepare(seeds)
    supervisor = Supervisor(name, args.seed, seeds, work)
    tally: Counter[Outcome] = Counter()
    try:
        for number in range(args.first, args.first + (args.count or KINDS[name].count)):
            verdict = supervisor.attempt(number)
            tally[verdict.outcome] += 1
            if verdict.outcome not in FINE:
                keep(args.keep / f"{name}-{args.seed}-{number}", supervisor.input, verdict)
                print(f"{name} {number} ({verdict.what}): {verdict.outcome}: {verdict.detail[-600:]}", flush=True)
    finally:
        supervisor.close()
    return tally


def keep(folder: Path, source: Path, verdict: Verdict) -> None:
    """Copy an input beside what happened to it."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder, ignore_dangling_symlinks=True)
    (folder / "finding.txt").write_text(
        f"{verdict.what}\n{verdict.outcome} after {verdict.seconds:.1f} s, {verdict.mb:.0f} MB\n{verdict.detail}\n",
        encoding="utf-8",
        errors="backslashreplace",
    )


def table(tallies: dict[str, Counter[Outcome]]) -> str:
    """A row for each kind, a column for each outcome."""
    heads = ["kind", "tried", *Outcome]
    rows = [
        [name, str(tally.total()), *(str(tally[outcome]) for outcome in Outcome)] for name, tally in tallies.items()
    ]
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in [heads, *rows])
    )


def main(arguments: list[str] | None = None) -> int:
    """Try the kinds one after another and print the table."""
    args = parse(arguments)
    tallies: dict[str, Counter[Outcome]] = {}
    with tempfile.TemporaryDirectory() as name:
        for kind in args.kinds:
            tallies[kind] = try_kind(kind, args, Path(name) / kind)
    print(f"limits: {SECONDS:.0f} s and {LIMIT_MB:.0f} MB of growth for an input; seed {args.seed}")
    print(table(tallies))
    return 1 if any(tally[outcome] for tally in tallies.values() for outcome in Outcome if outcome not in FINE) else 0


if __name__ == "__main__":
    sys.exit(main())
