"""A real Firefox through WebDriver BiDi, which it speaks by itself: Playwright drives a Firefox of its own only."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

TIMEOUT_S = 240
"""For one answer on a busy machine; no limit on speed."""

PREFERENCES = {
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
}


class Tab:
    """One page. Every method waits for Firefox's answer and raises RuntimeError where it is an error."""

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
        """Until the expression is true."""
        self.run(
            "new Promise((done, failed) => { const began = Date.now(); const look = () => "
            f"({condition}) ? done() : Date.now() - began > {1000 * TIMEOUT_S} ? failed(Error('it never came true')) : "
            "setTimeout(look, 50); look(); })"
        )

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
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", line):
                    break
            else:
                raise RuntimeError(f"{program} ended before it listened")
            with connect(f"{found[1]}/session", max_size=None) as connection:
                yield Tab(connection)
        finally:
            process.terminate()
