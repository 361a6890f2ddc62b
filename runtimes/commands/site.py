"""``python -m runtimes site``: the page for browsers as a folder of static files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runtimes.cli import Parser
from runtimes.printable import note, printable
from runtimes.web.site import build_site


def main(arguments: Sequence[str]) -> int:
    """Write the folder; returns the exit code."""
    parser = Parser(
        prog="python -m runtimes site",
        description="Put the page for browsers together: static files that any https server can host.",
        epilog="Threads need two headers of the server, see docs/browser.md; python -m runtimes serve sends them.",
    )
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument(
        "--packages", type=Path, metavar="DIR", help="a node_modules with onnxruntime-web and mediabunny (default: npm)"
    )
    parser.add_argument("--force", action="store_true", help="replace the site that is there")
    args = parser.parse_args(arguments)
    build_site(args.out, packages=args.packages, force=args.force, report=note)
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(printable(f"{args.out}: {size / 1e6:.0f} MB; look at it with python -m runtimes serve {args.out}"))
    return 0
