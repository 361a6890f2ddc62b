"""The public benchmarks of frame interpolation, by the protocols of IFRNet's evaluation.

None of them comes with this package: ``--root`` is the folder as published.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from benchmarks.accuracy.samples import Padding, Sample, crop
from benchmarks.errors import BenchmarkError
from runtimes.video.stills import read_8_bits

SUFFIXES = (".png", ".jpg", ".jpeg")

LIST_PREFIX = "data/SNU-FILM/"
"""How paths begin in SNU-FILM's published lists."""

MULTIFRAME_SPAN = 8
"""Frames from the first to the last of a window, and from one window to the next."""

MODES = ("easy", "medium", "hard", "extreme")


@dataclass(frozen=True, kw_only=True)
class Question:
    """A sample that has not been read: two frames, the time between them, the answer."""

    id: str
    group: str
    window: str
    frame0: Path
    truth: Path
    frame1: Path
    t: float = 0.5


@dataclass(kw_only=True)
class Files:
    """A dataset of image files; see :class:`benchmarks.accuracy.samples.Dataset`.

    Attributes:
        whole: how many questions the published set has.
        crop: side of the centre crop, or None for whole frames.
    """

    name: str
    questions: Sequence[Question]
    layout: str
    whole: int | None = None
    scale: float = 1.0
    padding: Padding = Padding.NONE
    crop: int | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        wanted = dict.fromkeys(path for item in self.questions for path in (item.frame0, item.truth, item.frame1))
        missing = [path for path in wanted if not path.is_file()]
        if missing:
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise BenchmarkError(f"{missing[0]} is missing{more}; {self.name} expects {self.layout}")
        if self.whole is not None and len(self.questions) != self.whole:
            self.notes.append(
                f"{len(self.questions)} samples here, {self.whole} in the published set: do not compare with the paper"
            )

    @property
    def sections(self) -> dict[str, tuple[str, ...]]:
        """Each group is a section of its own: the published tables have no mean over them."""
        return {group: (group,) for group in dict.fromkeys(item.group for item in self.questions)}

    def __len__(self) -> int:
        return len(self.questions)

    def samples(self, done: Container[str] = ()) -> Iterator[Sample]:
        """See :class:`benchmarks.accuracy.samples.Dataset`."""
        for item in self.questions:
            if item.window not in done:
                frame0, truth, frame1 = (
                    crop(read_8_bits(path), self.crop) for path in (item.frame0, item.truth, item.frame1)
                )
                if not frame0.shape == truth.shape == frame1.shape:
                    raise BenchmarkError(f"the frames of {item.id} differ in size; {self.name} expects {self.layout}")
                yield Sample(
                    id=item.id,
                    group=item.group,
                    window=item.window,
                    frame0=frame0,
                    frame1=frame1,
                    t=item.t,
                    truth=truth,
                )


def _triplet(name: str, group: str, frame0: Path, truth: Path, frame1: Path) -> Question:
    return Question(id=name, group=group, window=name, frame0=frame0, truth=truth, frame1=frame1)


def _nothing(name: str, missing: Path, layout: str) -> BenchmarkError:
    return BenchmarkError(f"{missing} is missing; {name} expects {layout}")


def _lines(listing: Path) -> list[str]:
    try:
        return listing.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise BenchmarkError(f"{listing} is no text: {error}; fetch it again") from error


def vimeo90k(root: Path) -> Files:
    """Test split of the triplets (Xue et al., IJCV 2019), 448x256."""
    layout = "ROOT/tri_testlist.txt and ROOT/sequences/<id>/im1.png, im2.png, im3.png"
    listing = root / "tri_testlist.txt"
    if not listing.is_file():
        raise _nothing("vimeo90k", listing, layout)
    names = [line.strip() for line in _lines(listing) if line.strip()]
    if not names:
        raise BenchmarkError(f"{listing} names no triplet; vimeo90k expects {layout}")
    folder = root / "sequences"
    files = ("im1.png", "im2.png", "im3.png")
    questions = [_triplet(name, "vimeo90k", *(folder / name / file for file in files)) for name in names]
    return Files(name="vimeo90k", questions=questions, layout=layout, whole=3782)


def ucf101(root: Path) -> Files:
    """The 379 triplets of Deep Voxel Flow's evaluation (Liu et al., ICCV 2017), 256x256."""
    layout = "folders ROOT/<name>/ with frame_00.png, frame_01_gt.png, frame_02.png"
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    if not folders:
        raise _nothing("ucf101", root / "<name>" / "frame_00.png", layout)
    files = ("frame_00.png", "frame_01_gt.png", "frame_02.png")
    questions = [_triplet(path.name, "ucf101", *(path / file for file in files)) for path in folders]
    return Files(name="ucf101", questions=questions, layout=layout, whole=379)


def snu_film(root: Path) -> Files:
    """SNU-FILM (Choi et al., AAAI 2020): four spans of motion; scale 0.8, padding before the mean."""
    layout = (
        "ROOT/test-easy.txt, -medium, -hard and -extreme (or in ROOT/eval_modes) with three paths a line, relative to "
        f"ROOT or beginning with {LIST_PREFIX}"
    )
    base = root / "eval_modes" if (root / "eval_modes").is_dir() else root
    questions = []
    for mode in MODES:
        listing = base / f"test-{mode}.txt"
        if not listing.is_file():
            raise _nothing("snu_film", listing, layout)
        for number, line in enumerate(_lines(listing), start=1):
            parts = [root / part.removeprefix(LIST_PREFIX) for part in line.split()]
            if len(parts) not in (0, 3):
                raise BenchmarkError(f"{listing}, line {number} has {len(parts)} paths; snu_film expects {layout}")
            if parts:
                questions.append(_triplet(f"{mode}/{number}", f"SNU-FILM {mode}", *parts))
    if not questions:
        raise BenchmarkError(f"{base}: the lists name no triplet; snu_film expects {layout}")
    return Files(name="snu_film", questions=questions, layout=layout, whole=1240, scale=0.8, padding=Padding.SPLIT)


def middlebury(root: Path) -> Files:
    """Middlebury's Other set (Baker et al., IJCV 2011): IE, on frames padded with zeros to 640x480."""
    layout = "ROOT/other-data/<sequence>/frame10.png, frame11.png and ROOT/other-gt-interp/<sequence>/frame10i11.png"
    truths = root / "other-gt-interp"
    names = sorted(path.name for path in truths.iterdir() if path.is_dir()) if truths.is_dir() else []
    if not names:
        raise _nothing("middlebury", truths / "<sequence>" / "frame10i11.png", layout)
    questions = []
    for name in names:
        frames = root / "other-data" / name
        truth = truths / name / "frame10i11.png"
        questions.append(_triplet(name, "Middlebury Other", frames / "frame10.png", truth, frames / "frame11.png"))
    return Files(name="middlebury", questions=questions, layout=layout, whole=12, padding=Padding.FIXED)


def gopro(root: Path, side: int | None = None) -> Files:
    """The 11 test videos of GoPro (Nah et al., CVPR 2017) at 240 fps, 8x."""
    base = root / "test" if (root / "test").is_dir() else root
    layout = "one folder of frames for each of the 11 test videos, ROOT/test/<video>/*.png or ROOT/<video>/*.png"
    return _windows("gopro", "GoPro 8x", base, layout, side, videos=11)


def adobe240(root: Path, side: int | None = None) -> Files:
    """Adobe240 (Su et al., CVPR 2017), 8x. The paper's split is not published: what is in the folder is the split."""
    base = root / "test" if (root / "test").is_dir() else root
    layout = "one folder of frames for each video, ROOT/test/<video>/*.png or ROOT/<video>/*.png"
    files = _windows("adobe240", "Adobe240 8x", base, layout, side, videos=None)
    files.notes.append("the paper's split of Adobe240 is not published: these figures are of the videos in this folder")
    return files


def _windows(name: str, group: str, base: Path, layout: str, side: int | None, *, videos: int | None) -> Files:
    """Windows of nine frames with stride eight: 0 and 8 go in, 1..7 are asked for at t = k / 8."""
    folders = sorted(path for path in base.iterdir() if path.is_dir()) if base.is_dir() else []
    questions, used = [], 0
    for folder in folders:
        frames = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        starts = range(0, len(frames) - MULTIFRAME_SPAN, MULTIFRAME_SPAN)
        used += bool(starts)
        for start in starts:
            window = f"{folder.name}/{start}"
            ends = frames[start], frames[start + MULTIFRAME_SPAN]
            questions += [
                Question(
                    id=f"{window}+{k}",
                    group=group,
                    window=window,
                    frame0=ends[0],
                    truth=frames[start + k],
                    frame1=ends[1],
                    t=k / MULTIFRAME_SPAN,
                )
                for k in range(1, MULTIFRAME_SPAN)
            ]
    if not questions:
        raise BenchmarkError(
            f"{base} holds no folder of at least {MULTIFRAME_SPAN + 1} frames ({', '.join(SUFFIXES)}); {name} expects "
            f"{layout}"
        )
    where = f"centre crops of {side}x{side}" if side else "whole frames"
    notes = [f"no official script exists for this table: measured on {where}"]
    if videos is not None and used != videos:
        notes.append(f"{used} videos here, {videos} in the published set: do not compare with the paper")
    return Files(name=name, questions=questions, layout=layout, crop=side, notes=notes)


TRIPLETS = MappingProxyType({"vimeo90k": vimeo90k, "ucf101": ucf101, "snu_film": snu_film, "middlebury": middlebury})
"""``--dataset`` -> how it is opened from ``--root``."""

MULTIFRAME = MappingProxyType({"gopro": gopro, "adobe240": adobe240})
"""The same for those that take ``--crop`` as well."""
