"""Environments of their own: made whole or not at all, made again when the versions change, and one line when not."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from types import MappingProxyType

import pytest

from export import environments
from export.__main__ import main
from export.errors import ExportError
from runtimes.cli import run as run_command

NAME = "tiny"


def wheel(folder: Path, version: str) -> None:
    """A package that is one module, without the network."""
    info = f"tinything-{version}.dist-info"
    with zipfile.ZipFile(folder / f"tinything-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr("tinything.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tinything\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")


def pin(folder: Path, version: str) -> None:
    text = f"# one package\n--no-index\n--find-links {folder.as_posix()}\ntinything=={version}\n"
    (folder / f"{NAME}.txt").write_text(text)


@pytest.fixture
def pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of pins, with one environment of one package of version 1.0 or 2.0."""
    folder = tmp_path / "pins"
    folder.mkdir()
    for version in ("1.0", "2.0"):
        wheel(folder, version)
    pin(folder, "1.0")
    rows = MappingProxyType({NAME: "one package"})
    monkeypatch.setattr(environments, "ENVIRONMENTS", rows)
    monkeypatch.setattr(environments, "PINS", folder)
    monkeypatch.setenv("IFRNET_CACHE", str(tmp_path / "cache"))
    return folder


def version_in_it(tmp_path: Path) -> str:
    script, result = tmp_path / "script.py", tmp_path / "version.txt"
    script.write_text("import sys, tinything; open(sys.argv[1], 'w').write(tinything.VERSION)")
    environments.run(NAME, script, result, log=tmp_path / "run.log", timeout_s=60)
    assert not (tmp_path / "run.log").exists()
    return result.read_text()


def test_every_environment_is_pinned_to_the_last_package() -> None:
    for name in environments.ENVIRONMENTS:
        lines = (environments.PINS / f"{name}.txt").read_text().splitlines()
        assert lines[0].startswith("# ")
        assert all(line.count("==") == 1 for line in lines[1:])
        assert len(environments.versions(name)) == len(lines) - 1 > 1


def test_it_is_made_left_alone_and_made_again_for_other_versions(
    pins: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert environments.missing(NAME) == f"its environment is not there: python -m export setup {NAME}"
    assert main(["setup", NAME]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "making environment tiny (one package)"
    assert second.startswith(f"environment tiny: 0.0 GB in {environments.folder(NAME)}, ")
    assert environments.missing(NAME) == ""
    assert version_in_it(tmp_path) == "1.0"
    assert main(["setup", NAME]) == 0
    assert capsys.readouterr().out == f"environment tiny is there: {environments.folder(NAME)}\n"
    pin(pins, "2.0")
    assert "was made of other versions: python -m export setup tiny" in environments.missing(NAME)
    assert main(["setup", NAME]) == 0
    assert version_in_it(tmp_path) == "2.0"
    assert {path.name for path in environments.folder(NAME).parent.iterdir()} == {NAME, f"{NAME}.log"}


def test_one_that_is_not_whole_is_not_there(pins: Path, tmp_path: Path) -> None:
    folder = environments.folder(NAME)
    folder.mkdir(parents=True)
    for text in ("", "{", "[]"):
        (folder / environments.MARKER).write_text(text)
        assert environments.missing(NAME)
    (folder / environments.MARKER).write_text('{"tinything": "1.0"}')
    assert environments.missing(NAME) == f"its environment in {folder} is damaged: python -m export setup tiny --force"


def test_one_that_cannot_be_made_is_one_line_and_leaves_the_old_one(
    pins: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = environments.folder(NAME)
    folder.mkdir(parents=True)
    (folder / "old").write_text("")
    pin(pins, "3.0")
    assert run_command("x", main, ["setup", NAME]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "x: environment tiny cannot be made (ERROR: No matching distribution found for tinything==3.0)" in error
    log = folder.with_suffix(".log")
    assert f"the whole log is {log}" in error
    assert "3.0" in log.read_text()
    assert {path.name for path in folder.parent.iterdir()} == {NAME, log.name}
    assert (folder / "old").exists()


def test_an_environment_that_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["setup", "abacus"])
    assert caught.value.code == 1
    assert "invalid choice: 'abacus'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "print('a page'); print('Error: op Foo is unknown'); print('bye'); raise SystemExit(3)",
            "3: Error: op Foo is",
        ),
        ("import os, signal; print('so far', flush=True); os.kill(os.getpid(), signal.SIGSEGV)", "signal 11: so far"),
        ("raise SystemExit(4)", "code 4: it printed nothing"),
        ("import time; print('x', flush=True); time.sleep(60)", "did not end within 1 s: export a smaller size"),
    ],
)
def test_a_script_that_dies_is_one_line_and_its_log_is_kept(
    script: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "python", lambda name: Path(sys.executable))
    (tmp_path / "script.py").write_text(script)
    log = tmp_path / "logs" / "run.log"
    with pytest.raises(ExportError) as caught:
        environments.run(NAME, tmp_path / "script.py", log=log, timeout_s=1 if "sleep" in script else 60)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(log) in str(caught.value)
    assert log.exists()


def test_a_script_sees_no_settings_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "python", lambda name: Path(sys.executable))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    (tmp_path / "script.py").write_text("import json, sys; assert json.__file__ and sys.flags.isolated")
    environments.run(NAME, tmp_path / "script.py", log=tmp_path / "run.log", timeout_s=60)
