"""Damaged videos and pictures, each in a process of its own: ``python -m tests.runtimes.video.fuzz SEED COUNT``.

Not part of the suite. Counted are tracebacks, crashes, runs over 20 s and memory over 1 GB; what was bad is kept in
``fuzz-findings`` of the working directory.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from tests.runtimes.video.clips import Clip, draw, even, write_artifact, write_clip

SECONDS, MEGABYTES = 20.0, 1000

WORKER = """
import resource, sys
from pathlib import Path
import runtimes
from runtimes.__main__ import main
from runtimes.artifact import read_manifest
from runtimes.cli import run
from tests.runtimes.video.clips import Blender
runtimes.load = lambda path, **_: Blender(read_manifest(Path(path)))
code = run("python -m runtimes", main, sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
sys.exit(code)
"""


def seeds(folder: Path) -> dict[str, bytes]:
    """Whole files, by what they are."""
    made = {}
    fast = (("preset", "ultrafast"),)
    for suffix, codec, options, sound in (
        (".mp4", "libx264", fast, "aac"),
        (".mkv", "libx264", fast, "aac"),
        (".ts", "libx264", fast, "aac"),
        (".avi", "mpeg4", (), ""),
        (".webm", "libvpx-vp9", (("cpu-used", "8"), ("deadline", "realtime")), ""),
        (".nut", "ffv1", (), ""),
    ):
        clip = Clip(times=even(25, 8), codec=codec, options=options, audio=sound)
        made[suffix] = write_clip(folder / f"seed{suffix}", clip).read_bytes()
    images = [Image.fromarray(draw(i)) for i in range(4)]
    for name in ("moving.gif", "moving.webp", "still.png", "still.webp"):
        rest = {"save_all": True, "append_images": images[1:], "duration": 80} if name.startswith("moving") else {}
        images[0].save(folder / name, **rest)  # type: ignore[arg-type]
        made[name] = (folder / name).read_bytes()
    frames = b"".join(b"FRAME\n" + draw(i)[..., 0].tobytes() + bytes(96 * 64 // 2) for i in range(4))
    made[".y4m"] = b"YUV4MPEG2 W96 H64 F25:1 Ip A1:1 C420jpeg\n" + frames
    return made


def damaged(data: bytes, dice: random.Random) -> bytes:
    """Cut off, with other bytes, with a lying number near the beginning, with a hole, or with a part twice."""
    found = bytearray(data)
    a, b = sorted(dice.randrange(len(data)) for _ in range(2))
    kind = dice.randrange(5)
    if kind == 0:
        del found[max(1, a) :]
    elif kind == 1:
        for _ in range(dice.choice((1, 5, 40))):
            found[dice.randrange(len(found))] = dice.randrange(256)
    elif kind == 2:
        place = dice.randrange(min(600, len(found) - 4))
        found[place : place + 4] = dice.randbytes(4)
    elif kind == 3:
        del found[a:b]
    else:
        found[b:b] = found[a:b]
    return bytes(found)


def verdict(arguments: list[str]) -> str:
    """What was wrong with a run, or nothing."""
    start = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-c", WORKER, "video", *arguments], capture_output=True, timeout=2 * SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return "hangs"
    said = done.stderr.decode("utf-8", "replace")
    if done.returncode not in (0, 1) or "Traceback" in said or "peak " not in said:
        return f"exit code {done.returncode}: {said[-800:]}"
    if time.monotonic() - start > SECONDS:
        return "is slow"
    peak = int(said.rsplit("peak ", 1)[1].split()[0])
    return f"takes {peak} MB" if peak > MEGABYTES else ""


def findings(seed: int, count: int, folder: Path) -> Iterator[tuple[str, bytes, str]]:
    """What was bad: kind of file, its bytes, and why."""
    dice, whole = random.Random(seed), seeds(folder)
    artifact = write_artifact(folder / "artifact")
    for _ in range(count):
        kind = dice.choice(sorted(whole))
        data = damaged(whole[kind], dice)
        inputs = folder / "inputs"
        inputs.mkdir(exist_ok=True)
        for old in inputs.iterdir():
            old.unlink()
        suffix = Path("x" + kind).suffix
        source = inputs / f"1{suffix}"
        source.write_bytes(data)
        if kind.startswith("still"):
            (inputs / f"2{suffix}").write_bytes(whole[kind])
            source = inputs
        told = [str(source), str(folder / "out.mp4"), "--artifact", str(artifact), "--preset", "ultrafast", "--force"]
        if why := verdict(told):
            yield kind, data, why


def main(seed: int, count: int) -> int:
    """Print what was bad; returns how much."""
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        for kind, data, why in findings(seed, count, Path(name)):
            bad += 1
            kept = Path("fuzz-findings", f"{seed}-{bad}{Path('x' + kind).suffix}")
            kept.parent.mkdir(exist_ok=True)
            kept.write_bytes(data)
            print(f"{kept}: {why}", flush=True)
    print(f"{count} files, {bad} bad")
    return bad


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (os.getcwd(), os.environ.get("PYTHONPATH", ""))))
    sys.exit(1 if main(int(sys.argv[1]), int(sys.argv[2])) else 0)
