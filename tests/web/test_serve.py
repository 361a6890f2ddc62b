"""The server: one folder, this machine alone, the headers that threads need."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from email.message import Message
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from runtimes.errors import UsageError
from runtimes.web.serve import HEADERS, find_file, make_server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    (root / "page").mkdir(parents=True)
    (root / "index.html").write_text("the page")
    (root / "page" / "a file.js").write_text("code")
    (root / ".hidden").write_text("hidden")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "site-of-another").mkdir()
    (tmp_path / "site-of-another" / "secret.txt").write_text("secret")
    return root


@pytest.fixture
def server(folder: Path) -> Iterator[ThreadingHTTPServer]:
    with make_server(folder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    content: bytes


def ask(server: ThreadingHTTPServer, target: str, *, method: str = "GET", host: str = "localhost") -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    with closing(connection):
        connection.putrequest(method, target, skip_host=True)
        connection.putheader("Host", f"{host}:{server.server_port}")
        connection.endheaders()
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())


@pytest.mark.parametrize(
    ("target", "content"),
    [("/", b"the page"), ("/index.html?a=b#c", b"the page"), ("/page/a%20file.js", b"code")],
)
def test_files_of_the_folder_are_served(server: ThreadingHTTPServer, target: str, content: bytes) -> None:
    answer = ask(server, target)
    assert answer.status == 200
    assert answer.content == content
    assert {name: answer.headers[name] for name in HEADERS} == dict(HEADERS)


def test_scripts_are_scripts_and_the_rest_is_bytes(server: ThreadingHTTPServer, folder: Path) -> None:
    (folder / "engine.wasm").write_bytes(b"\0asm")
    (folder / "proof.dat").write_bytes(b"proof")
    names = ("/page/a%20file.js", "/engine.wasm", "/proof.dat")
    types = {name: ask(server, name).headers["Content-Type"] for name in names}
    assert types == {
        "/page/a%20file.js": "text/javascript; charset=utf-8",
        "/engine.wasm": "application/wasm",
        "/proof.dat": "application/octet-stream",
    }


@pytest.mark.parametrize(
    "target",
    [
        "/../secret.txt",
        "/page/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/page/%2E%2E/%2E%2E/secret.txt",
        "/..%5csecret.txt",
        "/../site-of-another/secret.txt",
        "/.hidden",
        "/page",
        "/page/",
        "/nothing.js",
        "/index.html%00.js",
        "/%ff%fe",
        "/index.html/",
        "/C:/secret.txt",
        "secret.txt",
        "http://localhost/../secret.txt",
        "/" + "a" * 5000,
        "/page/" + "%2e%2e/" * 500 + "etc/passwd",
    ],
)
def test_nothing_else_is(server: ThreadingHTTPServer, target: str) -> None:
    answer = ask(server, target)
    assert answer.status == 404
    assert b"secret" not in answer.content


def test_links_that_leave_the_folder_are_not_followed(server: ThreadingHTTPServer, folder: Path) -> None:
    (folder / "out.txt").symlink_to(folder.parent / "secret.txt")
    (folder / "outside").symlink_to(folder.parent / "site-of-another")
    (folder / "within.js").symlink_to(folder / "page" / "a file.js")
    (folder / "loop").symlink_to(folder / "loop")
    os.mkfifo(folder / "pipe")
    names = ("/out.txt", "/outside/secret.txt", "/within.js", "/loop", "/pipe")
    found = {name: ask(server, name).status for name in names}
    assert found == {"/out.txt": 404, "/outside/secret.txt": 404, "/within.js": 200, "/loop": 404, "/pipe": 404}


def test_a_page_whose_name_was_made_to_point_here_reads_nothing(server: ThreadingHTTPServer) -> None:
    assert ask(server, "/", host="evil.example").status == 403
    assert ask(server, "/", host="127.0.0.1").status == 200


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("POST", 501), ("PUT", 501), ("DELETE", 501)])
def test_it_only_reads(server: ThreadingHTTPServer, method: str, status: int) -> None:
    assert ask(server, "/", method=method).status == status


def test_it_listens_on_this_machine_alone(server: ThreadingHTTPServer) -> None:
    assert server.server_address[0] == "127.0.0.1"


def test_a_browser_that_goes_away_is_no_error(
    server: ThreadingHTTPServer, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "large.bin").write_bytes(bytes(8 * 2**20))
    with socket.create_connection(("127.0.0.1", server.server_port)) as connection:
        connection.sendall(b"GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.recv(100)
    assert ask(server, "/").status == 200
    assert capfd.readouterr() == ("", "")


def test_what_is_no_site_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no index\.html: make a site with python -m runtimes site"):
        make_server(tmp_path)


def test_a_port_that_is_taken_is_refused(server: ThreadingHTTPServer, folder: Path) -> None:
    with pytest.raises(UsageError, match="pass another --port"):
        make_server(folder, port=server.server_port)


def test_files_are_found_by_whole_names(folder: Path) -> None:
    root = folder.resolve()
    assert find_file(root, "/page/a%20file.js") == root / "page" / "a file.js"
    assert find_file(root, "/page/./a%20file.js") is None


def test_the_command_says_where_it_is(folder: Path) -> None:
    command = [sys.executable, "-m", "runtimes", "serve", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            port = int(line.removeprefix("http://127.0.0.1:").partition("/")[0])
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
                connection.request("GET", "/")
                assert connection.getresponse().read() == b"the page"
        finally:
            process.terminate()
