"""The embedding guide's code runs as it stands."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import runtimes
from runtimes import shipped
from runtimes.contract import Size
from runtimes.video.stills import read_image, write_image
from tests.runtimes.video.clips import Clip, draw, even, read_video, write_clip

GUIDE = Path(__file__).parents[2] / "docs" / "embedding.md"
SIZE = Size(160, 96)


def test_every_block_runs(artifact: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = artifact("onnx")
    shutil.copytree(shipped.FOLDER, tmp_path / "shipped")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "shipped")  # its verdict is kept there
    monkeypatch.chdir(tmp_path)
    for name, index in (("a.png", 0), ("b.png", 2)):
        write_image(draw(index, SIZE), Path(name))
    write_clip(Path("in.mp4"), Clip(times=even(25, 4), size=SIZE, pictures=lambda i: draw(i, SIZE)))
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, Any] = {"runtimes": runtimes, "path": folder, "pairs": [(draw(0, SIZE), draw(1, SIZE))] * 3}
    for block in blocks:
        code = re.sub(r'"artifacts/[^"]*"', repr(str(folder)), block)
        exec(compile(code, str(GUIDE), "exec"), names)
    assert np.abs(read_image(Path("middle.png")).astype(int) - read_image(Path("a.png"))).mean() > 1
    assert names["middle"].shape == (96, 160, 3)
    assert names["runtime"].spec.name == "ifrnet_s-openvino-int8-dynamic"
    assert len(names["frames"]) == 3
    assert len(read_video(Path("out.mp4"))) == 8
