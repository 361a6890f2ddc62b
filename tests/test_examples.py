"""Every command that a document or ``--help`` shows is one that its command line takes."""

from __future__ import annotations

import importlib
import re
import shlex
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtimes.cli import Parser

ROOT = Path(__file__).parent.parent

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

SOURCES = [
    path
    for package in ("ifrnet", "export", "calibration", "runtimes", "benchmarks")
    for path in sorted((ROOT / package).rglob("*.py"))
    if re.search(r'^EPILOG = """', path.read_text(encoding="utf-8"), re.MULTILINE)
]

COMMAND = re.compile(r"^[ $]*(python -m (?:export|calibration|runtimes|benchmarks|ifrnet\.training) .*)$")

PLACEHOLDER = re.compile(r"\.\.\.|…|\bCOMMAND\b")
"""What stands for something in a line that is no example but a pattern."""


VARIABLE = re.compile(r'^([A-Z]+)="([^"]*)"$', re.MULTILINE)


class ParsedError(BaseException):
    """The arguments were taken. Not an ``Exception``, which command lines turn into an exit code."""


def commands_in(text: str) -> Iterator[str]:
    """Command lines, continued lines joined, without comments and without what they are piped into."""
    lines = text.replace("\\\n", " ").splitlines()
    for line in lines:
        if (match := COMMAND.match(line)) and not PLACEHOLDER.search(match[1]):
            yield re.split(r"\s[|#>]\s?", match[1])[0].strip()


def examples() -> list[Any]:
    """Each example once, named after the file it stands in."""
    found: dict[str, str] = {}
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for name, value in VARIABLE.findall(text):
            text = text.replace(f"${name}", " ".join(value.split()))
        blocks = re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL)
        found |= {command: path.name for block in blocks for command in commands_in(block)}
    for path in SOURCES:
        epilog = re.search(r'^EPILOG = """(.*?)"""', path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        assert epilog is not None
        text = epilog[1].replace("\\\\", "\\").removeprefix("\\\n")
        found |= dict.fromkeys(commands_in(text), path.name)
    return [pytest.param(command, id=f"{name}: {command[10:70]}") for command, name in found.items()]


def test_examples_are_found() -> None:
    assert len(examples()) > 40


@pytest.mark.parametrize("command", examples())
def test_an_example_is_taken(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, module, *arguments = shlex.split(command)
    parse = Parser.parse_args

    def parse_and_stop(self: Parser, *given: Any) -> Namespace:
        found = parse(self, *given)
        if not {"rest", "arguments"} & vars(found).keys() or isinstance(vars(found).get("arguments"), tuple):
            raise ParsedError
        return found  # the first of two parsers: the subcommand has its own

    monkeypatch.setattr(Parser, "parse_args", parse_and_stop)
    main = importlib.import_module(f"{module}.__main__").main
    with pytest.raises((ParsedError, SystemExit)) as caught:
        main(arguments)
    if isinstance(caught.value, SystemExit):
        assert (caught.value.code, arguments[-1]) == (0, "--help")
