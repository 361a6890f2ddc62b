"""``python -m benchmarks``: an explicit table of subcommands, imported when asked for."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, cast

from runtimes.cli import Parser, run

PROGRAM = "python -m benchmarks"


class Command(Protocol):
    """What the module of a subcommand provides. Importing it imports nothing heavy."""

    EPILOG: str
    """Examples, for ``--help``."""

    def configure(self, parser: Parser) -> None:
        """Add the options."""

    def execute(self, args: argparse.Namespace) -> int:
        """Do the work; returns the exit code. ``args.arguments`` is the command line itself, for results files."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row of :data:`COMMANDS`."""

    module: str
    purpose: str


COMMANDS = MappingProxyType(
    {
        "demo": Entry(module="benchmarks.demo", purpose="export to every target, prove it, interpolate a real pair"),
        "latency": Entry(
            module="benchmarks.speed.latency", purpose="every backend at one size, interleaved, beside PyTorch"
        ),
        "throughput": Entry(
            module="benchmarks.speed.throughput", purpose="sustained frames a second with parallel requests"
        ),
        "accuracy": Entry(module="benchmarks.accuracy.command", purpose="PSNR, SSIM and IE by the published protocols"),
        "weights": Entry(
            module="benchmarks.accuracy.candidate",
            purpose="a training state as new built-in weights",
        ),
        "tune": Entry(
            module="benchmarks.speed.tune", purpose="the fastest settings for an artifact here, kept beside it"
        ),
        "parameters": Entry(
            module="benchmarks.speed.parameters", purpose="parameters, multiply-adds and activation memory"
        ),
        "compare": Entry(
            module="benchmarks.report.compare_results", purpose="two results of one kind; exit code 2 when slower"
        ),
        "plot": Entry(module="benchmarks.report.plots", purpose="a picture of saved latency results"),
    }
)
"""Subcommand -> module."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Hand over to a subcommand; returns its exit code."""
    lines = "\n".join(f"  {name:<12}{entry.purpose}" for name, entry in COMMANDS.items())
    parser = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [-h] COMMAND ...",
        description="Measure speed and quality.",
        epilog=f"commands (each has --help):\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", metavar="COMMAND", choices=COMMANDS, help="what to measure, see below")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    entry = COMMANDS[args.command]
    command = cast(Command, importlib.import_module(entry.module))
    inner = Parser(
        prog=f"{PROGRAM} {args.command}",
        description=entry.purpose[0].upper() + entry.purpose[1:] + ".",
        epilog=command.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.configure(inner)
    inner.set_defaults(arguments=tuple(args.rest))
    return command.execute(inner.parse_args(args.rest))


def command() -> int:
    """Entry point of ``ifrnet-benchmarks``."""
    return run(PROGRAM, main)


if __name__ == "__main__":
    sys.exit(command())
