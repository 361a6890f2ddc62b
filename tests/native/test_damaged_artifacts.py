"""Damaged artifacts through the C ABI, under AddressSanitizer and UndefinedBehaviorSanitizer.

The sha256 is corrected after the damage, so that the bytes come to those who read them, ncnn included. Each is opened
in a process of its own, and proved where it is taken.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz.damage import damaged

COUNT = int(os.environ.get("IFRNET_FUZZ_COUNT", "12"))
"""Of each file; more by hand."""

ENDS_WELL = (0, 1, 2)
"""A frame, a sentence, or a proof that failed; a sanitizer's finding and a bug end otherwise."""


@pytest.mark.parametrize("name", ["manifest.json", "model.param", "model.bin", "proof.dat"])
def test_a_damaged_file_harms_nobody(
    name: str, native_build: Path, artifact: Callable[..., Path], tmp_path: Path
) -> None:
    source = artifact("ncnn", size="32x32")
    dice, whole = random.Random(name), (source / name).read_bytes()
    for i in range(COUNT):
        folder = tmp_path / str(i)
        shutil.copytree(source, folder)
        data, _ = damaged(whole, dice)
        (folder / name).write_bytes(data)
        if name != "manifest.json":
            correct(folder, name, data)
        command: list[str | Path] = [native_build / "ifrnet-program-sanitized", "verify", folder, "--threads", "1"]
        environment = {**os.environ, "VK_DRIVER_FILES": "none", "IFRNET_CACHE": str(tmp_path / "cache")}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
        assert done.returncode in ENDS_WELL, f"number {i}: {done.stderr}"
        assert not re.search("Sanitizer|runtime error", done.stderr), f"number {i}: {done.stderr}"
        shutil.rmtree(folder)


def correct(folder: Path, name: str, data: bytes) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    path.write_text(json.dumps(manifest))
