"""A server of static files for one's own browser: loopback, one folder, and the headers that threads need."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

from runtimes.errors import UsageError

HEADERS = MappingProxyType(
    {
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Content-Security-Policy": "default-src 'self' blob: data:; script-src 'self' blob: 'wasm-unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
)
"""The first two give a page threads (SharedArrayBuffer); with the policy it can load nothing from elsewhere."""

TYPES = MappingProxyType(
    {
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".mjs": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".wasm": "application/wasm",
        ".svg": "image/svg+xml",
        ".webp": "image/webp",
        ".png": "image/png",
    }
)
"""By suffix; everything else is bytes. Not from the system's table, which may call JavaScript plain text."""


def find_file(root: Path, target: str) -> Path | None:
    """The file that a request asks for; None where there is none, or it is not within the folder.

    Args:
        root: the folder, resolved.
        target: of the request line, percent-encoded, with its query.
    """
    try:
        path = unquote(urlsplit(target).path, errors="strict")
    except ValueError:
        return None
    if not path.startswith("/") or "\0" in path or "\\" in path:
        return None
    parts = path.split("/")[1:]
    if parts[-1] == "":
        parts[-1] = "index.html"
    if any(part in ("", ".", "..") or part.startswith(".") or ":" in part for part in parts):
        return None
    try:
        found = root.joinpath(*parts).resolve(strict=True)  # follows links
    except (OSError, RuntimeError):
        return None
    return found if found.is_relative_to(root) and found.is_file() else None


class Handler(SimpleHTTPRequestHandler):
    """GET and HEAD of files within one folder, by hosts that may ask for them."""

    server_version, sys_version = "ifrnet", ""
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: object, root: Path, hosts: Sequence[str] | None) -> None:
        self._root, self._hosts = root, hosts
        super().__init__(*arguments, directory=str(root))  # type: ignore[arg-type]

    def send_head(self):  # type: ignore[no-untyped-def]
        """Find the file, send the head; returns the open file, or None after an error."""
        if self._hosts is not None and _host_name(self.headers.get("Host", "")) not in self._hosts:
            # A page elsewhere whose name was made to point here would read what is served.
            self.send_error(HTTPStatus.FORBIDDEN, "this host is not served")
            return None
        found = find_file(self._root, self.path)
        try:
            file = found.open("rb") if found else None
        except OSError:
            file = None
        if found is None or file is None:
            self.send_error(HTTPStatus.NOT_FOUND, "no such file")
            return None
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", TYPES.get(found.suffix.lower(), "application/octet-stream"))
        self.send_header("Content-Length", str(found.stat().st_size))
        self.end_headers()
        return file

    def end_headers(self) -> None:
        """With :data:`HEADERS`, also of errors."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: the address is printed once, and the browser shows what fails."""


def _host_name(host: str) -> str:
    """``localhost:8000`` -> ``localhost``, ``[::1]:8000`` -> ``::1``."""
    return (urlsplit(f"//{host}").hostname or "") if host else ""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64  # connections that wait; a page asks for all its modules at once, and Python's default is 5

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away in the middle of an answer is no error."""


def make_server(folder: Path, host: str = "127.0.0.1", port: int = 0) -> ThreadingHTTPServer:
    """A server of a folder; ``serve_forever`` runs it.

    Args:
        folder: what is served; links that leave it are not followed.
        host: address to listen on. On a loopback address only requests to a loopback name are answered.
        port: 0 takes a free one.

    Raises:
        UsageError: the folder has no ``index.html``, or the address cannot be had.
    """
    root = folder.resolve()
    if not (root / "index.html").is_file():
        raise UsageError(f"{folder} has no index.html: make a site with python -m runtimes site {folder}")
    loopback = host == "localhost" or _is_loopback(host)
    hosts = ("localhost", "127.0.0.1", "::1", host) if loopback else None
    kind = type("Server", (_Server,), {"address_family": socket.AF_INET6 if ":" in host else socket.AF_INET})
    try:
        server: ThreadingHTTPServer = kind((host, port), partial(Handler, root=root, hosts=hosts))
    except (OSError, OverflowError) as error:
        raise UsageError(f"cannot listen on {host}:{port} ({error}): pass another --port or --host") from error
    return server


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
