"""The rows: which package holds what, under which licence, and what it may be used for.

Frame numbers are indices in decode order. A row's ``sha256`` is that of the media file itself (as stored in the
package, before any gzip is undone), because archives of the same content may be packed anew.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from types import MappingProxyType

from ifrnet.footage.photographs import PHOTOGRAPHS


class Archive(enum.Enum):
    """How a package is fetched."""

    DEB = "deb"
    DEB_SOURCE = "source of a deb"
    SDIST = "sdist"


class Use(enum.Enum):
    """What a row is for. ``SPLIT`` media are trained on outside the ranges kept for evaluation."""

    TRAIN = "train"
    EVALUATE = "evaluate"
    SPLIT = "split"


@dataclass(frozen=True, kw_only=True)
class Package:
    """A pinned package. ``file_stem`` is how its archive's name begins, for archives that are already at hand."""

    name: str
    version: str
    archive: Archive
    file_stem: str


@dataclass(frozen=True, kw_only=True)
class Media:
    """One file of a package.

    Attributes:
        package: key in :data:`PACKAGES`.
        member: path inside the archive; ``a.zip!b`` is the member b of the member a.
        sha256: of the member as stored.
        licence: SPDX name as the package states it.
        attribution: whom to credit.
        use: see :class:`Use`.
        rows: first row and one past the last that hold picture; None for all.
        skipped: frames [first, last] that are never used: titles, credits, black, fades, and the two frames on either
            side of a cut that :func:`ifrnet.footage.triplets.find_cuts` does not see.
        evaluation: frames [first, last] kept for evaluation.
    """

    name: str
    package: str
    member: str
    sha256: str
    licence: str
    attribution: str
    use: Use
    rows: tuple[int, int] | None = None
    skipped: tuple[tuple[int, int], ...] = ()
    evaluation: tuple[int, int] | None = None

    @property
    def still(self) -> bool:
        """A photograph and not a video."""
        return self.member.lower().endswith(".jpg")


EVALUATION_MARGIN = 24
"""Frames on either side of an evaluation range that are not trained on."""

PACKAGES = MappingProxyType(
    {
        package.name: package
        for package in (
            Package(name="moviepy", version="2.2.1", archive=Archive.SDIST, file_stem="moviepy-2.2.1"),
            Package(name="iscc-samples", version="0.6.0", archive=Archive.SDIST, file_stem="iscc_samples-0.6.0"),
            Package(
                name="opencv-doc", version="4.6.0+dfsg-12", archive=Archive.DEB, file_stem="opencv-doc_4.6.0+dfsg-12"
            ),
            Package(
                name="forensics-samples-files",
                version="1.1.4-5",
                archive=Archive.DEB,
                file_stem="forensics-samples-files_1.1.4-5",
            ),
            Package(
                name="lomiri-wallpapers-16.04",
                version="20.04.0-2",
                archive=Archive.DEB,
                file_stem="lomiri-wallpapers-16.04_20.04.0-2",
            ),
            Package(
                name="lomiri-wallpapers-20.04",
                version="20.04.0-2",
                archive=Archive.DEB,
                file_stem="lomiri-wallpapers-20.04_20.04.0-2",
            ),
            Package(
                name="libopenshot",
                version="0.2.7+dfsg1-4",
                archive=Archive.DEB_SOURCE,
                file_stem="libopenshot_0.2.7+dfsg1.orig.tar",
            ),
        )
    }
)

_OPENCV = "usr/share/doc/opencv-doc"
_VIDEOS = (
    Media(
        name="bbb",
        package="moviepy",
        member=(
            "moviepy-2.2.1/docs/_static/medias/getting_started/moviepy_10_minutes/moviepy_10_minutes.zip"
            "!moviepy_10_minutes/resources/bbb.mp4"
        ),
        sha256="475fbbf34c4c367998f80c29ea03b15a743941179b12da3373fc6706e68621d0",
        licence="CC-BY-3.0",
        attribution="Big Buck Bunny, (c) Blender Foundation, www.bigbuckbunny.org",
        use=Use.SPLIT,
        skipped=((0, 284), (11757, 14314)),
        evaluation=(9507, 10636),
    ),
    Media(
        name="box",
        package="opencv-doc",
        member=f"{_OPENCV}/opencv4/html/box.mp4.gz",
        sha256="2c38968ca5216a9d9d152913b583c501333f30578f9eedebe6e6d88768754737",
        licence="Apache-2.0",
        attribution="OpenCV documentation",
        use=Use.TRAIN,
    ),
    Media(
        name="cup",
        package="opencv-doc",
        member=f"{_OPENCV}/opencv4/html/cup.mp4.gz",
        sha256="d63f6bca6b0722c64486672614351d94dcd7d37a8104dc6e55e12f40fa582a9b",
        licence="Apache-2.0",
        attribution="OpenCV documentation",
        use=Use.EVALUATE,
    ),
    Media(
        name="vtest",
        package="opencv-doc",
        member=f"{_OPENCV}/examples/data/vtest.avi",
        sha256="45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf",
        licence="BSD-3-Clause",
        attribution="OpenCV sample data",
        use=Use.TRAIN,
    ),
    Media(
        name="phone",
        package="forensics-samples-files",
        member="usr/share/forensics-samples/original-files/movie1/VID_20191220_170832.mp4",
        sha256="9b0710a436413f75cc3cd1c1048aa3c4d7c28f76f51ef6a25413d0018d22ec99",
        licence="CC-BY-SA-4.0",
        attribution="Joao Eriberto Mota Filho, forensics-samples",
        use=Use.EVALUATE,
    ),
    Media(
        name="iscc",
        package="iscc-samples",
        member="iscc_samples-0.6.0/iscc_samples/files/video/demo.3gp",
        sha256="2b1075e8e91dfce9dcb697eb181cba9b2a0766bee5b0ed16273c07fc083656a6",
        licence="CC-BY-4.0",
        attribution="iscc-samples",
        use=Use.TRAIN,
        rows=(44, 244),
    ),
    Media(
        name="sintel",
        package="libopenshot",
        member="libopenshot-0.2.7/examples/sintel_trailer-720p.mp4",
        sha256="cb0fe73fc0a7d543459996c0cdab730997e6eac1013d3ede18796f777cb7f273",
        licence="CC-BY-3.0",
        attribution="Sintel, (c) Blender Foundation, durian.blender.org",
        use=Use.TRAIN,
        rows=(90, 630),
        skipped=(
            (0, 23),  # black
            (216, 291),  # fade, title, fade
            (333, 334),  # a cut between dark shots
            (384, 396),  # fade, black, one frame after the cut
            (403, 404),  # a cut between fast shots
            (419, 436),  # black
            (512, 526),  # fade, black, fade
            (671, 680),  # black, fade
            (764, 775),  # fade, fade
            (960, 1252),  # titles, credits
        ),
    ),
    Media(
        name="run",
        package="libopenshot",
        member="libopenshot-0.2.7/examples/run.mp4",
        sha256="149e307ce4ccc9a448f26f358d4623e9d10b44460cd6a3588b03fce68b27953e",
        licence="LGPL-3.0-or-later",
        attribution="OpenShot Studios, examples of libopenshot",
        use=Use.EVALUATE,
    ),
)

_PHOTOGRAPHS = tuple(
    Media(
        name=photo.path.rsplit("/", 1)[-1].rsplit(".", 1)[0],
        package=photo.package,
        member=photo.path,
        sha256=photo.sha256,
        licence=photo.licence,
        attribution=photo.author,
        use=Use.TRAIN,
    )
    for photo in PHOTOGRAPHS
)

MEDIA = MappingProxyType({media.name: media for media in (*_VIDEOS, *_PHOTOGRAPHS)})
"""Every row by name. Packages that state a GPL for their pictures have no row: shipped weights do not rest on them."""


def evaluation_clips() -> tuple[Media, ...]:
    """The videos with frames kept for evaluation."""
    return tuple(media for media in MEDIA.values() if media.use is not Use.TRAIN)


def training_videos() -> tuple[Media, ...]:
    """The videos that may be trained on, ``SPLIT`` ones outside their evaluation range only."""
    return tuple(media for media in MEDIA.values() if media.use is not Use.EVALUATE and not media.still)


def training_photographs() -> tuple[Media, ...]:
    """The photographs that may be trained on."""
    return tuple(media for media in MEDIA.values() if media.use is Use.TRAIN and media.still)


def may_train(media: Media, frame: int) -> bool:
    """Whether a frame of ``media`` may be trained on: nothing skipped, nothing near the evaluation range."""
    if media.use is Use.EVALUATE or any(first <= frame <= last for first, last in media.skipped):
        return False
    if media.evaluation is None:
        return True
    first, last = media.evaluation
    return not first - EVALUATION_MARGIN <= frame <= last + EVALUATION_MARGIN
