"""The rows: which package holds what, under which licence, and what it may be used for.

Frame numbers are indices in decode order. A row's ``sha256`` is that of the media file itself (as stored in the
package, before any gzip is undone), because archives of the same content may be packed anew.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from types import MappingProxyType


class Archive(enum.Enum):
    """How a package is fetched."""

    DEB = "deb"
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
        titles: frames [first, last] that show titles or credits and are never used.
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
    titles: tuple[tuple[int, int], ...] = ()
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
        titles=((0, 284), (11757, 14314)),
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
)


def _photo(package: str, path: str, licence: str, attribution: str, sha256: str) -> Media:
    """A still of a package, named after its file."""
    return Media(
        name=path.rsplit("/", 1)[-1].rsplit(".", 1)[0],
        package=package,
        member=path,
        sha256=sha256,
        licence=licence,
        attribution=attribution,
        use=Use.TRAIN,
    )


_PHOTOS = (
    _photo(
        "lomiri-wallpapers-16.04",
        "usr/share/backgrounds/Bridge_by_Sander_Klootwijk.jpg",
        "CC-BY-SA-4.0",
        "Sander Klootwijk",
        "bd86b081f9975e2b83527f71e49b9271a8ab40885428395969d9f7d834d7f050",
    ),
    _photo(
        "lomiri-wallpapers-16.04",
        "usr/share/backgrounds/Dragonfly_by_Bolly.jpg",
        "CC-BY-SA-4.0",
        "Bolly",
        "af5af17841009732def24b09bb1e669a1b09d2b4bdeee7812c371101c30d2bb3",
    ),
    _photo(
        "lomiri-wallpapers-16.04",
        "usr/share/backgrounds/Picture_0B_by_freespace.jpg",
        "CC-BY-4.0",
        "Trevor Freespace",
        "c8c0ab18e48d9e0419fe42881112137f3afafc27dfddc29ec3a6d54c56d225ad",
    ),
    _photo(
        "lomiri-wallpapers-16.04",
        "usr/share/backgrounds/Picture_1A_by_freespace.jpg",
        "CC-BY-4.0",
        "Trevor Freespace",
        "89e86af38d04daaef975665dc2127e9fa76f0fd68f4eea105a2d0ae3390b010b",
    ),
    _photo(
        "lomiri-wallpapers-16.04",
        "usr/share/backgrounds/Wine_by_Jakkub_Mede.jpg",
        "CC-BY-4.0",
        "Jakub Mede",
        "d2e96e6d4da40dd804b3d0ce295e94de04a2d7d9b6785d42cd9d92ba58bced74",
    ),
    _photo(
        "lomiri-wallpapers-16.04",
        "usr/share/backgrounds/aitzgorri_by_Aitzol_Berasategi.jpg",
        "CC-BY-4.0",
        "Aitzol Berasategi",
        "66268e7b48f8854d36a28765fac6e23ec1aee251daa6da1f64715f201020ad36",
    ),
    _photo(
        "lomiri-wallpapers-16.04",
        "usr/share/backgrounds/analogpattern_by_Peter_Nerlich.jpg",
        "CC-BY-SA-4.0",
        "Peter Nerlich",
        "15372488a192b2be2eafc67bd3ed31cbfca19abe3929e925607fcbc9cb4d4202",
    ),
    _photo(
        "lomiri-wallpapers-16.04",
        "usr/share/backgrounds/free_by_Peter_Nerlich.jpg",
        "CC-BY-SA-4.0",
        "Peter Nerlich",
        "85a5453c2fed514c75973016f3d862aca62eb7ca087618822469274ac1092373",
    ),
    _photo(
        "lomiri-wallpapers-16.04",
        "usr/share/backgrounds/friends_by_Aitzol_Berasategi.jpg",
        "CC-BY-4.0",
        "Aitzol Berasategi",
        "cc40e313c74e421edffe3403def413c16878ce14661cce7ec5915baeab35538d",
    ),
    _photo(
        "lomiri-wallpapers-16.04",
        "usr/share/backgrounds/greentock_by_Peter_Nerlich.jpg",
        "CC-BY-SA-4.0",
        "Peter Nerlich",
        "e7b20e2db9dcd6e2b278ca55873c2110b35d89cd38b04d0b18728726888e6889",
    ),
    _photo(
        "lomiri-wallpapers-16.04",
        "usr/share/backgrounds/life_by_Aitzol_Berasategi.jpg",
        "CC-BY-4.0",
        "Aitzol Berasategi",
        "4c119350ead80201fe256850c3d316309ddfb4bdf10b235ce982dcde0c667c05",
    ),
    _photo(
        "lomiri-wallpapers-16.04",
        "usr/share/backgrounds/picosdeeuropa_by_Aitzol_Berasategi.jpg",
        "CC-BY-4.0",
        "Aitzol Berasategi",
        "414d0072b2f6f2c555deafeaef6e45c4fed6fa9ad26eba6560ca8803959cf97a",
    ),
    _photo(
        "lomiri-wallpapers-16.04",
        "usr/share/backgrounds/seeding_by_Clements_Engelhardt.jpg",
        "CC0-1.0",
        "Clemens Engelhardt",
        "a5634d1ab5e41a3568e92d4a894a500c92b891f9ff734e50bd224d6e185a605f",
    ),
    _photo(
        "lomiri-wallpapers-16.04",
        "usr/share/backgrounds/sunset_by_Aitzol_Berasategi.jpg",
        "CC-BY-4.0",
        "Aitzol Berasategi",
        "474dab6a4b9f94dc76c29dfe30e9f5db4af0fd2e33fe5d695f8152b371efca18",
    ),
    _photo(
        "lomiri-wallpapers-16.04",
        "usr/share/backgrounds/umang_by_Abhishek_Mudgal.jpg",
        "CC-BY-4.0",
        "Abhishek Mudgal",
        "bfb425545e77e9f0eb1b037b607fc9ed4a446f3b0f04aa2879be3556073c57ef",
    ),
    _photo(
        "lomiri-wallpapers-20.04",
        "usr/share/backgrounds/Fossa_by_Jasper_Roks.jpg",
        "CC-BY-SA-3.0",
        "Jasper Roks",
        "4e1f6bfd73f374ac28adbf37d5f9f7ce847dccba71e860f0ff50509316be1f82",
    ),
    _photo(
        "lomiri-wallpapers-20.04",
        "usr/share/backgrounds/Infinite-Sea_by_Aury88.jpg",
        "CC-BY-SA-3.0",
        "Aury88",
        "9319dfb3651833881339a8d9b769b99efaf474969e6cd58e427eb2524aca8e8a",
    ),
    _photo(
        "lomiri-wallpapers-20.04",
        "usr/share/backgrounds/Kleiber_by_Lukas_Baubkus.jpg",
        "CC-BY-SA-3.0",
        "Lukas Baubkus",
        "6572410c09f4492c74ccadde133565a14c0161617d5917d4c820c66d65a44ba7",
    ),
    _photo(
        "lomiri-wallpapers-20.04",
        "usr/share/backgrounds/Painting-Colors_by__herobrine7gamer.jpg",
        "CC-BY-SA-3.0",
        "HEROBRINE7GAMER",
        "dc688df829e177f23d5e2761a198d2e44e477e4b3b3c750661052c89f7abc46c",
    ),
    _photo(
        "forensics-samples-files",
        "usr/share/forensics-samples/original-files/pic1/IMG-20191006-WA0002.jpg",
        "CC-BY-SA-4.0",
        "Joao Eriberto Mota Filho",
        "8f31fbc45826c8eaea2d60e61fb9810db38a66704adba3b7db05dd04b87eeb13",
    ),
    _photo(
        "forensics-samples-files",
        "usr/share/forensics-samples/original-files/pic1/IMG_1054.JPG",
        "CC-BY-SA-4.0",
        "Joao Eriberto Mota Filho",
        "76204f90870d97c2d462c58e113f8a90f2edf4b6fbd95ac2f0f876bb4e61b311",
    ),
    _photo(
        "forensics-samples-files",
        "usr/share/forensics-samples/original-files/pic1/IMG_20200827_231612.jpg",
        "CC-BY-SA-4.0",
        "Joao Eriberto Mota Filho",
        "29694a6e485e9bc523c08cc3333ffd17570ab61a94a41419fa9db81ff05e9ad0",
    ),
    _photo(
        "forensics-samples-files",
        "usr/share/forensics-samples/original-files/pic2/IMG_20191224_234846.jpg",
        "CC-BY-SA-4.0",
        "Joao Eriberto Mota Filho",
        "653193b3238e0c056cc834c8144aa9801419516e751f8682daa425d7f3dacc5c",
    ),
    _photo(
        "forensics-samples-files",
        "usr/share/forensics-samples/original-files/pic2/IMG_20200124_231153.jpg",
        "CC-BY-SA-4.0",
        "Joao Eriberto Mota Filho",
        "850048a1eb65a2147ea05927976aa927c03926c85f880c2f9d2196380bf10403",
    ),
    _photo(
        "forensics-samples-files",
        "usr/share/forensics-samples/original-files/pic2/IMG_20200608_111614.jpg",
        "CC-BY-SA-4.0",
        "Joao Eriberto Mota Filho",
        "1f23a3bd64e685f9364046b1ff05b2953071c18e90b2bfb3f9a1e0d6ad234bf5",
    ),
)

MEDIA = MappingProxyType({media.name: media for media in (*_VIDEOS, *_PHOTOS)})
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
    """Whether a frame of ``media`` may be trained on: no titles, nothing near the evaluation range."""
    if media.use is Use.EVALUATE or any(first <= frame <= last for first, last in media.titles):
        return False
    if media.evaluation is None:
        return True
    first, last = media.evaluation
    return not first - EVALUATION_MARGIN <= frame <= last + EVALUATION_MARGIN
