"""``python -m runtimes``: run artifacts on images and videos, and see what can run here."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from types import MappingProxyType

from runtimes.cli import Parser, run

COMMANDS = MappingProxyType(
    {
        "devices": ("runtimes.commands.devices", "list backends and devices, and why the missing ones are missing"),
        "artifacts": (
            "runtimes.commands.artifacts",
            "list what comes with this package, and what of it runs here",
        ),
        "info": ("runtimes.commands.info", "show what an artifact is, and its parity verdicts"),
        "verify": ("runtimes.commands.verify", "prove an artifact on this machine, without PyTorch"),
        "interpolate": ("runtimes.commands.interpolate", "make the frame between two images"),
        "video": ("runtimes.commands.video", "interpolate a video"),
        "concat": ("runtimes.commands.concat", "join the chunks of a video"),
        "demo": ("runtimes.commands.demo", "make 2x and 8x GIFs from two images"),
        "site": ("runtimes.commands.site", "put the page for browsers together"),
        "serve": ("runtimes.commands.serve", "show that page to the browser of this machine"),
    }
)
"""Subcommand -> module with ``main(arguments) -> int``, and its line of help. Only the one asked for is imported."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Hand over to the subcommand; returns the exit code."""
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:{width}}  {text}" for name, (_, text) in COMMANDS.items())
    parser = Parser(
        prog="python -m runtimes",
        description="Run IFRNet artifacts, without PyTorch.",
        epilog=f"commands:\n{listing}\n\npython -m runtimes COMMAND --help tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = sys.argv[1:] if arguments is None else arguments
    module, _ = COMMANDS[parser.parse_args(given[:1]).command]  # argparse would take a "--" out of the rest
    code: int = importlib.import_module(module).main(given[1:])
    return code


def command() -> int:
    """Entry point of ``ifrnet-runtimes``."""
    return run("python -m runtimes", main)


if __name__ == "__main__":
    sys.exit(command())
