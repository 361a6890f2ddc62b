"""The photographs as rows: package, path inside it, licence, author, sha256."""

from __future__ import annotations

from typing import NamedTuple


class Photograph(NamedTuple):
    """One still of a package; see :class:`ifrnet.footage.catalogue.Media`."""

    package: str
    path: str
    licence: str
    author: str
    sha256: str


_OLDER, _NEWER = "lomiri-wallpapers-16.04", "lomiri-wallpapers-20.04"
_PHONE = "forensics-samples-files"
_BACKGROUNDS = "usr/share/backgrounds"
_PICTURES = "usr/share/forensics-samples/original-files"

PHOTOGRAPHS = (
    Photograph(
        _OLDER,
        f"{_BACKGROUNDS}/Bridge_by_Sander_Klootwijk.jpg",
        "CC-BY-SA-4.0",
        "Sander Klootwijk",
        "bd86b081f9975e2b83527f71e49b9271a8ab40885428395969d9f7d834d7f050",
    ),
    Photograph(
        _OLDER,
        f"{_BACKGROUNDS}/Dragonfly_by_Bolly.jpg",
        "CC-BY-SA-4.0",
        "Bolly",
        "af5af17841009732def24b09bb1e669a1b09d2b4bdeee7812c371101c30d2bb3",
    ),
    Photograph(
        _OLDER,
        f"{_BACKGROUNDS}/Picture_0B_by_freespace.jpg",
        "CC-BY-4.0",
        "Trevor Freespace",
        "c8c0ab18e48d9e0419fe42881112137f3afafc27dfddc29ec3a6d54c56d225ad",
    ),
    Photograph(
        _OLDER,
        f"{_BACKGROUNDS}/Picture_1A_by_freespace.jpg",
        "CC-BY-4.0",
        "Trevor Freespace",
        "89e86af38d04daaef975665dc2127e9fa76f0fd68f4eea105a2d0ae3390b010b",
    ),
    Photograph(
        _OLDER,
        f"{_BACKGROUNDS}/Wine_by_Jakkub_Mede.jpg",
        "CC-BY-4.0",
        "Jakub Mede",
        "d2e96e6d4da40dd804b3d0ce295e94de04a2d7d9b6785d42cd9d92ba58bced74",
    ),
    Photograph(
        _OLDER,
        f"{_BACKGROUNDS}/aitzgorri_by_Aitzol_Berasategi.jpg",
        "CC-BY-4.0",
        "Aitzol Berasategi",
        "66268e7b48f8854d36a28765fac6e23ec1aee251daa6da1f64715f201020ad36",
    ),
    Photograph(
        _OLDER,
        f"{_BACKGROUNDS}/analogpattern_by_Peter_Nerlich.jpg",
        "CC-BY-SA-4.0",
        "Peter Nerlich",
        "15372488a192b2be2eafc67bd3ed31cbfca19abe3929e925607fcbc9cb4d4202",
    ),
    Photograph(
        _OLDER,
        f"{_BACKGROUNDS}/free_by_Peter_Nerlich.jpg",
        "CC-BY-SA-4.0",
        "Peter Nerlich",
        "85a5453c2fed514c75973016f3d862aca62eb7ca087618822469274ac1092373",
    ),
    Photograph(
        _OLDER,
        f"{_BACKGROUNDS}/friends_by_Aitzol_Berasategi.jpg",
        "CC-BY-4.0",
        "Aitzol Berasategi",
        "cc40e313c74e421edffe3403def413c16878ce14661cce7ec5915baeab35538d",
    ),
    Photograph(
        _OLDER,
        f"{_BACKGROUNDS}/greentock_by_Peter_Nerlich.jpg",
        "CC-BY-SA-4.0",
        "Peter Nerlich",
        "e7b20e2db9dcd6e2b278ca55873c2110b35d89cd38b04d0b18728726888e6889",
    ),
    Photograph(
        _OLDER,
        f"{_BACKGROUNDS}/life_by_Aitzol_Berasategi.jpg",
        "CC-BY-4.0",
        "Aitzol Berasategi",
        "4c119350ead80201fe256850c3d316309ddfb4bdf10b235ce982dcde0c667c05",
    ),
    Photograph(
        _OLDER,
        f"{_BACKGROUNDS}/picosdeeuropa_by_Aitzol_Berasategi.jpg",
        "CC-BY-4.0",
        "Aitzol Berasategi",
        "414d0072b2f6f2c555deafeaef6e45c4fed6fa9ad26eba6560ca8803959cf97a",
    ),
    Photograph(
        _OLDER,
        f"{_BACKGROUNDS}/seeding_by_Clements_Engelhardt.jpg",
        "CC0-1.0",
        "Clemens Engelhardt",
        "a5634d1ab5e41a3568e92d4a894a500c92b891f9ff734e50bd224d6e185a605f",
    ),
    Photograph(
        _OLDER,
        f"{_BACKGROUNDS}/sunset_by_Aitzol_Berasategi.jpg",
        "CC-BY-4.0",
        "Aitzol Berasategi",
        "474dab6a4b9f94dc76c29dfe30e9f5db4af0fd2e33fe5d695f8152b371efca18",
    ),
    Photograph(
        _OLDER,
        f"{_BACKGROUNDS}/umang_by_Abhishek_Mudgal.jpg",
        "CC-BY-4.0",
        "Abhishek Mudgal",
        "bfb425545e77e9f0eb1b037b607fc9ed4a446f3b0f04aa2879be3556073c57ef",
    ),
    Photograph(
        _NEWER,
        f"{_BACKGROUNDS}/Fossa_by_Jasper_Roks.jpg",
        "CC-BY-SA-3.0",
        "Jasper Roks",
        "4e1f6bfd73f374ac28adbf37d5f9f7ce847dccba71e860f0ff50509316be1f82",
    ),
    Photograph(
        _NEWER,
        f"{_BACKGROUNDS}/Infinite-Sea_by_Aury88.jpg",
        "CC-BY-SA-3.0",
        "Aury88",
        "9319dfb3651833881339a8d9b769b99efaf474969e6cd58e427eb2524aca8e8a",
    ),
    Photograph(
        _NEWER,
        f"{_BACKGROUNDS}/Kleiber_by_Lukas_Baubkus.jpg",
        "CC-BY-SA-3.0",
        "Lukas Baubkus",
        "6572410c09f4492c74ccadde133565a14c0161617d5917d4c820c66d65a44ba7",
    ),
    Photograph(
        _NEWER,
        f"{_BACKGROUNDS}/Painting-Colors_by__herobrine7gamer.jpg",
        "CC-BY-SA-3.0",
        "HEROBRINE7GAMER",
        "dc688df829e177f23d5e2761a198d2e44e477e4b3b3c750661052c89f7abc46c",
    ),
    Photograph(
        _PHONE,
        f"{_PICTURES}/pic1/IMG-20191006-WA0002.jpg",
        "CC-BY-SA-4.0",
        "Joao Eriberto Mota Filho",
        "8f31fbc45826c8eaea2d60e61fb9810db38a66704adba3b7db05dd04b87eeb13",
    ),
    Photograph(
        _PHONE,
        f"{_PICTURES}/pic1/IMG_1054.JPG",
        "CC-BY-SA-4.0",
        "Joao Eriberto Mota Filho",
        "76204f90870d97c2d462c58e113f8a90f2edf4b6fbd95ac2f0f876bb4e61b311",
    ),
    Photograph(
        _PHONE,
        f"{_PICTURES}/pic1/IMG_20200827_231612.jpg",
        "CC-BY-SA-4.0",
        "Joao Eriberto Mota Filho",
        "29694a6e485e9bc523c08cc3333ffd17570ab61a94a41419fa9db81ff05e9ad0",
    ),
    Photograph(
        _PHONE,
        f"{_PICTURES}/pic2/IMG_20191224_234846.jpg",
        "CC-BY-SA-4.0",
        "Joao Eriberto Mota Filho",
        "653193b3238e0c056cc834c8144aa9801419516e751f8682daa425d7f3dacc5c",
    ),
    Photograph(
        _PHONE,
        f"{_PICTURES}/pic2/IMG_20200124_231153.jpg",
        "CC-BY-SA-4.0",
        "Joao Eriberto Mota Filho",
        "850048a1eb65a2147ea05927976aa927c03926c85f880c2f9d2196380bf10403",
    ),
    Photograph(
        _PHONE,
        f"{_PICTURES}/pic2/IMG_20200608_111614.jpg",
        "CC-BY-SA-4.0",
        "Joao Eriberto Mota Filho",
        "1f23a3bd64e685f9364046b1ff05b2953071c18e90b2bfb3f9a1e0d6ad234bf5",
    ),
)
