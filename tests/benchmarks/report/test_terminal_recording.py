"""The recording of a terminal: what ran, in order, whole, and nothing of this machine's folders."""

from __future__ import annotations

import os
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks.report.terminal_recording import COLUMNS, LINE, LONGEST_WAIT_S, ROWS, Line, record, svg

ROOT = Path(__file__).parents[3]
TEXT = "{http://www.w3.org/2000/svg}text"


def test_lines_come_in_order_and_long_ones_are_wrapped(tmp_path: Path) -> None:
    code = f"import sys; print('a' * {COLUMNS + 3}); print('<&>', file=sys.stderr)"
    lines = record([f'{sys.executable} -c "{code}"', "true"], tmp_path, os.environ)
    assert [line.text for line in lines[1:-1]] == ["a" * COLUMNS, "aaa", "<&>"]
    assert [line.typed for line in lines] == [True, False, False, False, True]
    assert [line.at for line in lines] == sorted(line.at for line in lines)


def test_a_long_wait_is_cut(tmp_path: Path) -> None:
    code = f"import time; time.sleep({LONGEST_WAIT_S + 1}); print('late')"
    command, late = record([f'{sys.executable} -c "{code}"'], tmp_path, os.environ)
    assert LONGEST_WAIT_S <= late.at - command.at < LONGEST_WAIT_S + 6


def test_a_command_that_fails_ends_it(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="false: exit code 1"):
        record(["false"], tmp_path, os.environ)


def test_the_picture_holds_every_line_and_scrolls_to_the_last() -> None:
    lines = [Line(0.1 * i, f"<line & {i}>") for i in range(ROWS + 7)]
    root = ET.fromstring(svg(lines))
    assert [text.text for text in root.iter(TEXT)] == [line.text for line in lines]
    assert f"translateY({-7 * LINE}px)}}}}" in svg(lines)


def test_the_one_of_the_readme_names_nothing_of_the_machine() -> None:
    text = (ROOT / "docs" / "terminal.svg").read_text(encoding="utf-8")
    assert len([*ET.fromstring(text).iter(TEXT)]) > 20
    assert not re.search(r"/(home|root|tmp|work|Users)\b", text)
