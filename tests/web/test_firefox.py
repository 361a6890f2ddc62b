"""The page in Firefox: the frame is PyTorch's, the proof passes, and that there is no GPU is said."""

from __future__ import annotations

import base64
import io
import shutil
import warnings
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


@pytest.mark.filterwarnings("default:Firefox is started anew")
def test_firefox_makes_pytorchs_frame_and_proves_it(
    program: str, address: str, pair: list[Path], tmp_path: Path, ran: Callable[[str], None]
) -> None:
    pytest.importorskip("websockets", reason="websockets is not installed: pip install -e '.[dev]'")
    try:
        picture, verdicts = _visit(program, address, pair, tmp_path / "first")
    except (RuntimeError, TimeoutError) as trouble:
        # Seen once in some dozens of runs: the page waited for four minutes and Firefox said nothing. Twice is a fault.
        warnings.warn(f"Firefox is started anew, the first one failed: {trouble}", stacklevel=1)
        picture, verdicts = _visit(program, address, pair, tmp_path / "second")
    made = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))).convert("RGB"))
    assert np.abs(made.astype(int) - pytorch_middle(pair, 0.5)).max() <= 1
    assert "CPU\tpassed" in verdicts
    ran("web:firefox")


def _visit(program: str, address: str, pair: list[Path], profile: Path) -> tuple[str, str]:
    """The middle frame as a data URL, and what the page's table of proofs says."""
    from tests.web.firefox import firefox

    with firefox(program, profile) as tab:
        tab.open(address)
        tab.wait_for("'ready' in document.documentElement.dataset")
        assert tab.run("crossOriginIsolated")  # the headers that threads need
        tab.choose("#files", pair)
        tab.wait_for("!document.querySelector('#make').disabled")
        tab.run("document.querySelector('#make').click()")
        tab.wait_for("document.querySelector('#download').href && !document.querySelector('#make').disabled")
        assert tab.run("document.querySelector('#trouble').innerText") == ""
        picture: str = tab.run("document.querySelector('#ours').toDataURL()")
        tab.run("document.querySelector('#verify').click()")
        tab.wait_for("document.querySelector('tbody').innerText.includes(' dB')")
        verdicts: str = tab.run("document.querySelector('tbody').innerText")
    return picture, verdicts
