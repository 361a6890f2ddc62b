"""What the tests of the samples share: tools that may not be here, and a library that stands in for libifrnet."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
EXAMPLES = ROOT / "examples"
INCLUDE = ROOT / "runtimes/native/include"
HEADER = INCLUDE / "ifrnet.h"

STRICT = ("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror")


def tool(*names: str) -> str:
    """The first of these programs that is here; skips the test where none is."""
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"none of {', '.join(names)} is installed")


def succeed(*command: object, cwd: Path | None = None) -> str:
    """What a command prints; its messages are the failure where it fails."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def c_compiler() -> str:
    """Skips the test where there is none."""
    return tool("cc", "gcc", "clang")


def build_stub(folder: Path) -> Path:
    """Puts ``libifrnet.so``, the stub, into a folder."""
    options = ("-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", f"-I{INCLUDE}")
    succeed(c_compiler(), *options, HERE / "stub_library.c", "-o", folder / "libifrnet.so")
    return folder
