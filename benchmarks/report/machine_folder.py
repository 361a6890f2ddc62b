"""Results are kept by machine: the folder's name comes from the processor, that of a file from what was measured."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.report.results_file import Results, check_output
from runtimes.cli import Parser

RESULTS = Path("benchmarks/results")
"""Where results are committed, from the root of the repository."""

LEVELS = MappingProxyType(
    {
        "amx_int8": "amx",
        "avx512_bf16": "avx512-bf16",
        "avx512_vnni": "avx512-vnni",
        "avx512f": "avx512",
        "avx_vnni": "avx-vnni",
        "avx2": "avx2",
        "i8mm": "i8mm",
        "asimddp": "dotprod",
    }
)
"""Instruction set -> suffix; the first that a processor has. Clouds give several processors one name."""


def slug(processor: str) -> str:
    """``Intel(R) Xeon(R) Processor @ 2.90GHz`` -> ``intel-xeon``: lower case, words joined by hyphens."""
    words = re.sub(r"\((r|tm)\)|\b(cpu|processor)\b|@.*$", " ", processor.lower())
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-") or "unknown-processor"


def machine_folder(environment: Mapping[str, Any]) -> str:
    """``amd-epyc-avx512-bf16-2-cores``: the processor, what it computes with, and how many cores there were."""
    flags = set(environment.get("flags", ()))
    level = next((suffix for flag, suffix in LEVELS.items() if flag in flags), "")
    parts = (slug(str(environment["cpu"])), level, str(environment["cores"]), "cores")
    return "-".join(filter(None, parts))


def file_name(results: Results) -> str:
    """``latency-ifrnet_s-1280x720.json``, ``-7-timesteps`` where a call makes several frames, ``-bbb`` for a clip."""
    settings = results.settings
    model = re.sub(r"[^\w.-]+", "-", str(settings["model"]))
    count = settings.get("timesteps", 1)
    several = f"-{count}-timesteps" if count != 1 else ""
    clip = "-" + re.sub(r"[^\w.-]+", "-", str(settings["source"])) if "source" in settings else ""
    return f"{results.kind}-{model}-{settings['size']}{several}{clip}.json"


def add_output(parser: Parser, beside: str) -> None:
    """The options ``--json`` and ``--save``.

    Args:
        parser: of the subcommand.
        beside: which files come with the JSON.
    """
    parser.add_argument("--json", type=Path, metavar="PATH", help=f"write the results, and {beside} of the same name")
    parser.add_argument(
        "--save",
        type=Path,
        nargs="?",
        const=RESULTS,
        metavar="FOLDER",
        help=f"the same, in a folder for this machine inside of FOLDER (default: {RESULTS}), named for model and size",
    )


def check(args: Namespace) -> None:
    """Find out before anything is measured that results could not be written.

    Raises:
        BenchmarkError: both options, or a name that does not serve.
        OSError: the folder cannot be made or written to.
    """
    if args.json is not None and args.save is not None:
        raise BenchmarkError("--json and --save exclude each other: pass --json to choose the name, or --save")
    check_output(args.json if args.save is None else args.save / "results.json")


def output_path(args: Namespace, results: Results) -> Path | None:
    """Where the options want the JSON; None for nowhere."""
    if args.save is None:
        chosen: Path | None = args.json
        return chosen
    folder: Path = args.save
    return folder / machine_folder(results.environment) / file_name(results)


def save_and_print(args: Namespace, results: Results) -> None:
    """Write the files that the options ask for, print the table, and name the files."""
    from rich.console import Console

    from benchmarks.report.tables import print_results, save_all

    path = output_path(args, results)
    written = save_all(results, path) if path else []  # first: a closed pipe must not cost the results
    console = Console()
    print_results(console, results)
    for file in written:
        console.print(f"wrote {file}", highlight=False, soft_wrap=True)
