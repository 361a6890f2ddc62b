"""``python -m benchmarks``: an explicit table of subcommands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from benchmarks import demo
from benchmarks.accuracy import candidate, npu
from benchmarks.accuracy import command as accuracy
from benchmarks.report import compare_results, index, plots
from benchmarks.speed import gpu, latency, parameters, throughput, tune, video
from runtimes.cli import Parser, run

PROGRAM = "python -m benchmarks"


class Command(Protocol):
    """What the module of a subcommand provides. Importing it imports no third-party package but numpy."""

    EPILOG: str
    """Examples, for ``--help``."""

    def configure(self, parser: Parser) -> None:
        """Add the options."""

    def execute(self, args: argparse.Namespace) -> int:
        """Do the work; returns the exit code. ``args.arguments`` is the command line itself, for results files."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row of :data:`COMMANDS`."""

    command: Command
    purpose: str


COMMANDS: Mapping[str, Entry] = MappingProxyType(
    {
        "demo": Entry(command=demo, purpose="export to every target, prove it, interpolate a real pair"),
        "latency": Entry(command=latency, purpose="every backend at one size, in turn, beside PyTorch"),
        "gpu": Entry(command=gpu, purpose="verify and measure every artifact on every GPU, within some minutes"),
        "throughput": Entry(command=throughput, purpose="frames a second with several requests at the same time"),
        "video": Entry(command=video, purpose="whole videos, beside FFmpeg's minterpolate, with PSNR of both"),
        "accuracy": Entry(command=accuracy, purpose="PSNR, SSIM and IE by the published protocols"),
        "npu": Entry(command=npu, purpose="what each arithmetic of Qualcomm's NPU loses, by size"),
        "weights": Entry(command=candidate, purpose="a training state as new built-in weights"),
        "tune": Entry(command=tune, purpose="the fastest settings for an artifact here, kept beside it"),
        "parameters": Entry(command=parameters, purpose="parameters, multiply-adds and activation memory"),
        "compare": Entry(command=compare_results, purpose="two results of one kind; exit code 2 when slower"),
        "index": Entry(command=index, purpose="the README of the results: machines side by side"),
        "plot": Entry(command=plots, purpose="a picture of saved latency results"),
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
    inner = Parser(
        prog=f"{PROGRAM} {args.command}",
        description=entry.purpose[0].upper() + entry.purpose[1:] + ".",
        epilog=entry.command.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    entry.command.configure(inner)
    inner.set_defaults(arguments=tuple(args.rest))
    return entry.command.execute(inner.parse_args(args.rest))


def command() -> int:
    """Entry point of ``ifrnet-bench``."""
    return run(PROGRAM, main)


if __name__ == "__main__":
    sys.exit(command())
