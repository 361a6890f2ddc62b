"""A video over a local Ray cluster of two workers, one of which is killed half-way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from runtimes.__main__ import main
from runtimes.contract import Size
from tests.runtimes.video.clips import Clip, draw, even, write_clip

ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'ifrnet-export[ray]'")

SIZE = Size(160, 96)


def writers(part: Path) -> list[psutil.Process]:
    """Processes that have this file open."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(Path(file.path) == part for file in process.open_files()):
                found.append(process)
        except psutil.Error:
            continue  # ended while we looked, or somebody else's
    return found


# Ray leaves sockets and log files to the garbage collector when it shuts down.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_killed_worker_changes_nothing(
    artifact: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_clip(
        tmp_path / "in.mp4", Clip(times=even(25, 50), size=SIZE, pictures=lambda i: draw(i, SIZE), audio="aac")
    )
    # x264's macroblock tree with B-frames (its slower presets) is not reproducible in AVX-512 at this size.
    preset = ["--preset", "ultrafast"]
    base = [*preset, "--artifact", str(artifact("onnx")), "--threads", "1", "--part-seconds", "0.7"]
    assert main(["video", str(source), str(tmp_path / "single.mp4"), *base, "--resume"]) == 0
    killed: list[int] = []
    ended = threading.Event()

    def kill_one() -> None:
        while not ended.is_set() and not killed:
            for part in tmp_path.glob("shared.mp4.parts-*/.*.partial.nut"):
                for process in writers(part):
                    process.kill()
                    killed.append(process.pid)
                    return
            time.sleep(0.02)

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        assert main(["video", str(source), str(tmp_path / "shared.mp4"), *base, "--ray", "local"]) == 0
    finally:
        ended.set()
        killer.join()
    assert killed, "no worker was caught in the middle of a part"
    assert "3 parts, 0 of them there already" in capsys.readouterr().err
    assert (tmp_path / "shared.mp4").read_bytes() == (tmp_path / "single.mp4").read_bytes()
    assert not list(tmp_path.glob("shared.mp4.parts-*"))
