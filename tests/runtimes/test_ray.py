"""A video over a local Ray cluster of two workers, one of which is killed half-way."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from runtimes.__main__ import main
from runtimes.contract import Size
from tests.runtimes.video.clips import Clip, draw, even, write_clip

# Not importorskip: a local cluster is kept on loopback by what Ray reads when it is imported.
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="ray is not installed: pip install 'ifrnet-export[ray]'"
)

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


def listening() -> set[str]:
    """Addresses that our processes listen on."""
    here = psutil.Process()
    connections = [c for p in (here, *here.children(recursive=True)) for c in p.net_connections(kind="inet")]
    return {connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN}


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
    addresses: set[str] = set()
    ended = threading.Event()

    def kill_one() -> None:
        while not ended.is_set() and not killed:
            for part in tmp_path.glob("shared.mp4.parts-*/.*.partial.nut"):
                for process in writers(part):
                    addresses.update(listening())
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
    assert {address.removeprefix("::ffff:") for address in addresses} == {"127.0.0.1"}, "Ray runs what it is sent"
    assert killed, "no worker was caught in the middle of a part"
    said = capsys.readouterr().err
    assert "3 parts, 0 of them there already" in said
    assert not any(word in said for word in ("INFO", "WARNING", "Ray instance")), "the chatter goes to a log"
    assert (tmp_path / "shared.mp4").read_bytes() == (tmp_path / "single.mp4").read_bytes()
    assert not list(tmp_path.glob("shared.mp4.parts-*"))
