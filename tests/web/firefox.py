"""A real Firefox through WebDriver BiDi, which it speaks by itself: Playwright drives a Firefox of its own only."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

TIMEOUT_S = 120
"""For one answer on a busy machine; no limit on speed."""

PREFERENCES = {
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
}


class Tab:
    """One page. Every method waits for Firefox's answer.

    RuntimeError where the answer is an error, TimeoutError where none comes.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection, self._numbers = connection, itertools.count(1)
        self._command("session.new", capabilities={})
        self._context = self._command("browsingContext.getTree")["contexts"][0]["context"]

    def open(self, address: str) -> None:
        """Go there and wait until it is loaded."""
        self._command("browsingContext.navigate", context=self._context, url=address, wait="complete")

    def run(self, script: str) -> Any:
        """The value of an expression; a promise is awaited. Strings, numbers and booleans come back."""
        found = self._command(
            "script.evaluate", expression=script, target={"context": self._context}, awaitPromise=True
        )
        if found["type"] == "exception":
            raise RuntimeError(f"{script}: {found['exceptionDetails']['text']}")
        return found["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Until the expression is true; RuntimeError where the page shows a trouble."""
        end = time.monotonic() + TIMEOUT_S
        while not self.run(condition):
            status, trouble = (
                self.run(f"document.querySelector('#{name}').innerText") for name in ("status", "trouble")
            )
            if trouble:
                raise RuntimeError(f"waiting for {condition}, the page shows a trouble: {trouble}")
            if time.monotonic() > end:
                raise TimeoutError(f"{condition} was not true for {TIMEOUT_S} s; the page's status is {status!r}")
            time.sleep(0.1)

    def choose(self, selector: str, files: Sequence[Path]) -> None:
        """Files for an input element."""
        node = self._command(
            "script.evaluate",
            expression=f"document.querySelector({json.dumps(selector)})",
            target={"context": self._context},
            awaitPromise=False,
        )["result"]
        self._command(
            "input.setFiles",
            context=self._context,
            element={"sharedId": node["sharedId"]},
            files=[str(path) for path in files],
        )

    def _command(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._connection.recv(timeout=TIMEOUT_S + 10))
            if answer.get("id") == number:  # what has none is an event
                break
        if answer["type"] == "error":
            raise RuntimeError(f"{method}: {answer['error']}: {answer['message']}")
        result: dict[str, Any] = answer["result"]
        return result


@contextmanager
def firefox(program: str, profile: Path) -> Iterator[Tab]:
    """A window without a screen, with a profile of its own; closed at the end."""
    profile.mkdir()
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines))
    command = [program, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0"]
    log = profile / "firefox.log"  # a file: at a full pipe that nobody reads Firefox would stop
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT) as process:
        try:
            with connect(f"{_listening(log, process)}/session", max_size=None) as connection:
                yield Tab(connection)
        finally:
            process.kill()  # one that hangs as well; its profile is thrown away


def _listening(log: Path, process: subprocess.Popen[bytes]) -> str:
    """The address at which Firefox listens, from its log."""
    end = time.monotonic() + TIMEOUT_S
    while not (found := re.search(r"WebDriver BiDi listening on (ws://\S+)", log.read_text(errors="replace"))):
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"Firefox does not listen, it said: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)
    return found[1]
