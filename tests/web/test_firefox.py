"""The page in Firefox: the frame is PyTorch's, the proof passes, and that there is no GPU is said."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.web.test_page import HEIGHT, WIDTH, crops, pytorch_middle


@pytest.fixture(scope="module")
def program() -> str:
    found = shutil.which("firefox-esr") or shutil.which("firefox")
    if found is None:
        pytest.skip("no Firefox: Debian: apt install firefox-esr")
    return found


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    return crops(tmp_path, WIDTH, HEIGHT)


def test_firefox_makes_pytorchs_frame_and_proves_it(
    program: str, address: str, pair: list[Path], tmp_path: Path, ran: Callable[[str], None]
) -> None:
    pytest.importorskip("websockets", reason="websockets is not installed: pip install -e '.[dev]'")
    from tests.web.firefox import firefox

    with firefox(program, tmp_path / "profile") as tab:
        tab.open(address)
        tab.wait_for("'ready' in document.documentElement.dataset")
        assert tab.run("crossOriginIsolated")  # the headers that threads need
        tab.choose("#files", pair)
        tab.wait_for("!document.querySelector('#make').disabled")
        tab.run("document.querySelector('#make').click()")
        tab.wait_for("document.querySelector('#download').href && !document.querySelector('#make').disabled")
        assert tab.run("document.querySelector('#trouble').innerText") == ""
        picture = tab.run("document.querySelector('#ours').toDataURL()")
        tab.run("document.querySelector('#verify').click()")
        tab.wait_for("document.querySelector('tbody').innerText.includes(' dB')")
        verdicts = tab.run("document.querySelector('tbody').innerText")
    made = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))).convert("RGB"))
    assert np.abs(made.astype(int) - pytorch_middle(pair, 0.5)).max() <= 1
    assert "CPU\tpassed" in verdicts
    ran("web:firefox")
