"""What files say never acts on the terminal, and never fills it."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from runtimes.cli import Parser, run
from runtimes.commands.info import main as info
from runtimes.errors import RuntimesError, RuntimesWarning
from runtimes.printable import MAX_MESSAGE, note, one_line, printable
from tests.runtimes.test_artifact import manifest_for

HOSTILE = "\x1b[31mred\r\n\u202eback\x7f\ud800"
ESCAPED = r"\x1b[31mred\r\n\u202eback\x7f\ud800"


def test_control_characters_become_escapes() -> None:
    assert printable(HOSTILE) == ESCAPED
    assert printable("Größe 5 µm, 東京, عربي") == "Größe 5 µm, 東京, عربي"
    assert printable("👩\u200d👧") == "👩\u200d👧"


def test_a_long_message_loses_its_middle() -> None:
    text = one_line("begin " + "x" * 100_000 + " end")
    assert len(text) < MAX_MESSAGE + 10
    assert text.startswith("begin ")
    assert text.endswith(" end")
    assert one_line("short") == "short"
    assert len(one_line("x" * 1000, 300)) < 310


def raises(arguments: Sequence[str] | None) -> int:
    raise RuntimesError(HOSTILE)


def fails(arguments: Sequence[str] | None) -> int:
    raise OSError(HOSTILE)


def warns(arguments: Sequence[str] | None) -> int:
    warnings.warn(HOSTILE, RuntimesWarning, stacklevel=1)
    return 0


def misread(arguments: Sequence[str] | None) -> int:
    Parser(prog="p").error(HOSTILE)


def notes(arguments: Sequence[str] | None) -> int:
    note(HOSTILE)
    return 0


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("main", [raises, fails, warns, misread, notes])
def test_whatever_a_command_says_is_escaped(main: object, capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(SystemExit):
        run("p", main, [])  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert ESCAPED in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_info_shows_a_hostile_manifest(options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(manifest_for(tmp_path).to_json())
    data["name"] = data["parity"][1]["reason"] = data["tools"]["torch"] = HOSTILE
    (tmp_path / "manifest.json").write_text(json.dumps(data))
    assert info([str(tmp_path), *options]) == 0
    shown = capsys.readouterr().out
    assert all(char.isprintable() or char == "\n" for char in shown)
    if options:
        assert json.loads(shown) == data
    shown.encode(sys.stdout.encoding or "utf-8")
