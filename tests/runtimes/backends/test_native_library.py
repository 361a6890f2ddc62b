"""What native libraries print stays out of the terminal, and nothing else does."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runtimes.backends.native_library import ForkGuard, captured_output
from runtimes.errors import BackendError

ROOT = Path(__file__).parents[3]


def test_what_c_code_prints_is_captured(capfd: pytest.CaptureFixture[str]) -> None:
    library = ctypes.CDLL(None)
    library.puts(b"before")
    with captured_output() as lines:
        library.puts(b"from C")  # stays in the C library's buffer until someone empties it
        os.write(2, b"to descriptor 2\n")
    library.puts(b"after")
    library.fflush(None)
    assert sorted(lines) == ["from C", "to descriptor 2"]
    assert capfd.readouterr() == ("before\nafter\n", "")


def test_an_error_inside_gives_the_terminal_back(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), captured_output(), captured_output():
        raise KeyError
    print("after")
    assert capfd.readouterr().out == "after\n"


def test_no_descriptor_is_left_open() -> None:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    for _ in range(50):
        with captured_output():
            pass
    assert before == 0 or len(os.listdir("/proc/self/fd")) <= before


def test_another_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = ForkGuard("it")
    guard.check()
    guard.check()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(BackendError, match=r"was forked from .*, which had used it, and would hang.*spawn"):
        guard.check()


@pytest.mark.parametrize("command", ["interpolate", "verify", "devices"])
def test_nothing_of_mnn_reaches_the_terminal(
    command: str, artifact: Callable[..., Path], tmp_path: Path, frames: Callable[..., tuple[object, object]]
) -> None:
    """Compared with an artifact's own words, on both descriptors, where C code prints too."""
    from PIL import Image

    images = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, frame in zip(images, frames(), strict=True):
        Image.fromarray(frame).save(path)  # type: ignore[arg-type]
    folder = str(artifact("mnn"))
    arguments = {
        "interpolate": [*map(str, images), "-o", str(tmp_path / "c.png"), "--artifact", folder, "--t", "0.25"],
        "verify": [folder],
        "devices": [],
    }[command]
    done = subprocess.run(
        [sys.executable, "-m", "runtimes", command, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for words in ("The device supports", "use high precision", "Can't Find type"):
        assert words not in done.stdout
