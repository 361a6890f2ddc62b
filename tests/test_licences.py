"""Licences stand in one place, NOTICE, and say of everything that ships what it is under."""

from __future__ import annotations

import configparser
import json
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
NOTICE = (ROOT / "NOTICE").read_text(encoding="utf-8")


def test_the_package_has_the_expression_of_the_notice() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    stated = re.search(r"^SPDX-License-Identifier of the package: (.+)$", NOTICE, re.MULTILINE)
    assert stated is not None
    assert config["metadata"]["license"] == stated[1]
    assert config["metadata"]["license_files"].split() == ["LICENSE", "NOTICE"]


def test_the_licences_of_the_training_footage_are_named() -> None:
    known = json.loads((ROOT / "ifrnet/checkpoints/ifrnet_s.json").read_text(encoding="utf-8"))
    licences = {row["licence"] for row in known["data"]}
    weights = NOTICE[NOTICE.index("Weights (MIT)") : NOTICE.index("Used and not shipped")]
    assert licences
    assert not {licence for licence in licences if licence not in weights}


def test_every_picture_and_clip_lies_where_the_notice_says() -> None:
    media = [
        path.relative_to(ROOT)
        for folder in ("assets", "docs", "export", "runtimes")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".png", ".jpg", ".webp", ".mp4", ".gif")
    ]
    frames = NOTICE[NOTICE.index("Frames of Big Buck Bunny") : NOTICE.index("Weights (MIT)")]
    assert len(media) > 5
    for path in media:
        assert any(where in frames for where in (str(path), str(path.parent), f"{path.parent}/*{path.suffix}")), path
