from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtimes.atomic import remove_abandoned, replacing, temporary_folder, temporary_name, write_text


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_text(path, "old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
        assert partial.suffix == ".json"
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_text(path, "old")

    def fail() -> None:
        with replacing(path) as partial:
            partial.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_the_mode_is_that_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "a", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", [f"{'a' * 251}.mp4", f"{'日' * 83}.webm"])
def test_the_longest_names_have_temporary_ones_too(tmp_path: Path, name: str) -> None:
    final, other = tmp_path / name, tmp_path / f"{name[1:].partition('.')[0]}b.mp4"
    with replacing(final) as partial:
        partial.write_text("half")
        assert partial.name.partition(".partial")[0] != temporary_name(other).name.partition(".partial")[0]
        assert len(os.fsencode(partial.name)) < 255
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["out.mp4", f"{'a' * 251}.mp4"])
def test_what_a_killed_process_left_is_removed(tmp_path: Path, name: str) -> None:
    code = (
        "import sys, os, pathlib; from runtimes.atomic import temporary_folder, temporary_name\n"
        "final = pathlib.Path(sys.argv[1]); temporary_folder(final).joinpath('x').write_text('x')\n"
        "temporary_name(final).write_text('half'); os.kill(os.getpid(), 9)"
    )
    final = tmp_path / name
    done = subprocess.run([sys.executable, "-c", code, str(final)], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -9
    assert len(list(tmp_path.iterdir())) == 2
    mine = temporary_name(final)
    mine.write_text("in work")
    other = tmp_path / ".out.somebody-1-0.partial.mp4"
    other.write_text("of another machine")
    remove_abandoned(final)
    assert {path.name for path in tmp_path.iterdir()} == {mine.name, other.name}


def test_a_folder_is_made_beside_the_final_name(tmp_path: Path) -> None:
    folder = temporary_folder(tmp_path / "artifact")
    assert folder.is_dir()
    assert folder.parent == tmp_path
