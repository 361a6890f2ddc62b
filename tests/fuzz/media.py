"""Videos and pictures, through the command lines with a runtime that blends."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.fuzz.damage import damaged
from tests.fuzz.kind import run_command

VIDEOS = (
    (".mp4", "libx264", (("preset", "ultrafast"),), "aac"),
    (".mkv", "libx264", (("preset", "ultrafast"),), "aac"),
    (".ts", "libx264", (("preset", "ultrafast"),), "aac"),
    (".avi", "mpeg4", (), ""),
    (".webm", "libvpx-vp9", (("cpu-used", "8"), ("deadline", "realtime")), ""),
    (".nut", "ffv1", (), ""),
)
PICTURES = ("moving.gif", "moving.webp", "moving.png", "still.png", "still.webp")


def prepare(seeds: Path) -> None:
    """A short clip in every container, pictures, and an artifact for the stand-in."""
    from PIL import Image

    from tests.runtimes.video.clips import Clip, draw, even, write_artifact, write_clip

    for suffix, codec, options, sound in VIDEOS:
        write_clip(seeds / f"clip{suffix}", Clip(times=even(25, 8), codec=codec, options=options, audio=sound))
    images = [Image.fromarray(draw(i)) for i in range(4)]
    for name in PICTURES:
        moving: dict[str, Any] = (
            {"save_all": True, "append_images": images[1:], "duration": 80} if "moving" in name else {}
        )
        images[0].save(seeds / name, **moving)
    frames = b"".join(b"FRAME\n" + draw(i)[..., 0].tobytes() + bytes(96 * 64 // 2) for i in range(4))
    (seeds / "clip.y4m").write_bytes(b"YUV4MPEG2 W96 H64 F25:1 Ip A1:1 C420jpeg\n" + frames)
    write_artifact(seeds / "artifact")


class Media:
    """Interpolates a damaged video, a folder or a pair with a damaged picture."""

    def __init__(self, seeds: Path) -> None:
        import runtimes
        from runtimes.artifact import read_manifest
        from tests.runtimes.video.clips import Blender

        runtimes.load = lambda path, **_: Blender(read_manifest(Path(path)))
        self._seeds = seeds
        self._names = [f"clip{suffix}" for suffix, *_ in VIDEOS] + [*PICTURES, "clip.y4m"]

    def write(self, folder: Path, dice: random.Random | None) -> str:
        """See :class:`tests.fuzz.kind.Trial`."""
        self._name = dice.choice(self._names) if dice else self._names[0]
        self._pair = bool(dice and dice.random() < 0.5)
        data, how = (self._seeds / self._name).read_bytes(), "whole"
        if dice:
            data, how = damaged(data, dice)
        suffix = Path(self._name).suffix
        inputs = folder / "in"
        inputs.mkdir()
        (inputs / f"1{suffix}").write_bytes(data)
        if self._name.startswith("still"):
            (inputs / f"2{suffix}").write_bytes((self._seeds / self._name).read_bytes())
        return f"{self._name}: {how}"

    def attempt(self, folder: Path) -> str:
        """See :class:`tests.fuzz.kind.Trial`."""
        from runtimes.__main__ import main

        inputs, artifact = folder / "in", str(self._seeds / "artifact")
        suffix = Path(self._name).suffix
        first, second = (str(inputs / f"{i}{suffix}") for i in (1, 2))
        if self._name.startswith("still") and self._pair:
            output = folder / "out.png"
            run_command(main, ["interpolate", first, second, "-o", str(output), "--artifact", artifact])
        else:
            output = folder / "out.mkv"
            source = str(inputs) if self._name.startswith("still") else first
            run_command(main, ["video", source, str(output), "--artifact", artifact, "--preset", "ultrafast"])
        return _wrong(output)


def _wrong(output: Path) -> str:
    """What is wrong with what was written: it is not there, or FFmpeg does not decode the whole of it."""
    import av

    if not output.is_file():
        return "exit code 0 and no output"
    try:
        with av.open(str(output)) as container:
            frames = sum(1 for _ in container.decode(video=0))
    except av.FFmpegError as error:
        return f"the output cannot be decoded: {error}"
    return "" if frames else "an output without frames"
