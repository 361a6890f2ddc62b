"""``python -m runtimes serve``: show a site to the browser of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runtimes.cli import Parser
from runtimes.printable import printable
from runtimes.web.serve import make_server


def main(arguments: Sequence[str]) -> int:
    """Serve until interrupted; returns the exit code."""
    parser = Parser(
        prog="python -m runtimes serve",
        description="Serve a site of python -m runtimes site, with the headers that threads need.",
    )
    parser.add_argument("folder", type=Path, help="the site")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: 8000)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: this machine alone; elsewhere browsers want https)",
    )
    args = parser.parse_args(arguments)
    with make_server(args.folder, args.host, args.port) as server:
        host = f"[{args.host}]" if ":" in args.host else args.host
        print(printable(f"http://{host}:{server.server_port}/ (Ctrl-C ends it)"), flush=True)
        server.serve_forever()
    return 0
